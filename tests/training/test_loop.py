import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from horner.errors import TrainingError
from horner.models import build
from horner.training import TrainConfig, evaluate, loop, train
from horner.training import config as settings
from horner.training.batches import epoch_order

CONFIG = TrainConfig(epochs=3, batch_size=32, lr=3e-3, device="cpu", threads=1)


def lenet(**options) -> nn.Module:
    return build("lenet5", seed=0, **options)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([t.detach().float().flatten() for t in model.state_dict().values()])


@dataclasses.dataclass(frozen=True)
class Bare:
    """A split that checks nothing."""

    images: np.ndarray
    labels: np.ndarray


def fit(model, data, config=CONFIG, **options):
    return train(model, data, config, progress=False, **options)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_norm": True},
        {"optimizer": "sgd", "lr": 0.05, "schedule": "cosine", "weight_decay": 1e-3},
        {"precision": "bfloat16", "augmentation": "shift", "clip_norm": 1.0},
        {"schedule": "constant", "label_smoothing": 0.1, "channels_last": False},
    ],
)
def test_it_learns(data, change):
    model = lenet(batch_norm=change.pop("batch_norm", False))
    result = fit(model, data, dataclasses.replace(CONFIG, epochs=8, **change))
    assert result.epochs == len(result.history) == 8
    assert result.history[-1].loss < 0.6 * result.history[0].loss
    assert evaluate(model, data.test, data.mean, data.std) > 75  # chance is 10
    assert not model.training
    assert result.seconds == pytest.approx(sum(e.seconds for e in result.history))


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_of_the_forward_pass_where_the_device_has_it(data, monkeypatch, native):
    monkeypatch.setattr(settings, "multiplies_bfloat16", lambda device: native)
    model, seen = lenet(), {True: set(), False: set()}
    model.register_forward_hook(lambda module, images, logits: seen[module.training].add(logits.dtype))
    fit(model, data, dataclasses.replace(CONFIG, epochs=1, precision="bfloat16"))
    assert seen == {True: {torch.bfloat16 if native else torch.float32}, False: {torch.float32}}


def test_the_weights_are_the_best_on_validation(data):
    model = lenet()
    result = fit(model, data, dataclasses.replace(CONFIG, epochs=6, lr=0.02))
    best = max(epoch.accuracy for epoch in result.history)
    assert result.accuracy == best == evaluate(model, data.validation, data.mean, data.std)
    assert result.best_epoch == max(i for i, e in enumerate(result.history, 1) if e.accuracy == best)


def test_without_validation_images_the_weights_are_those_of_the_last_epoch(data, tmp_path, capsys):
    models = lenet(), lenet()
    all_of_it = dataclasses.replace(data, validation=data.validation.take(0))
    result = train(models[0], all_of_it, CONFIG, checkpoint=tmp_path / "all")
    assert result.best_epoch == result.epochs == CONFIG.epochs
    assert result.accuracy is None
    assert "validation -" in capsys.readouterr().err
    # validation chooses between epochs and changes none of them
    assert [epoch.loss for epoch in fit(models[1], data).history] == [epoch.loss for epoch in result.history]
    assert fit(lenet(), all_of_it, checkpoint=tmp_path / "all") == result


def test_the_test_split_is_never_touched(data):
    class Blind:
        train, validation, mean, std = data.train, data.validation, data.mean, data.std

        @property
        def test(self):
            raise AssertionError("the test split was looked at")

    fit(lenet(), Blind(), dataclasses.replace(CONFIG, epochs=1))


def test_a_seed_repeats_a_run_and_spares_the_callers_generator(data):
    class Dropping(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Flatten(), nn.Dropout(0.3), nn.Linear(784, 10))
            nn.init.zeros_(self[2].weight)
            nn.init.zeros_(self[2].bias)

    config = dataclasses.replace(CONFIG, epochs=2, augmentation="crop-flip")
    results = []
    for seed in (0, 0, 1):
        model = Dropping()
        fit(model, data, dataclasses.replace(config, seed=seed))
        results.append(weights(model))
        torch.rand(7)  # what the caller draws in between must not matter
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    state = torch.random.get_rng_state()
    fit(model, data, config)
    assert torch.random.get_rng_state().equal(state)


def test_a_teacher_is_followed(data):
    teacher = lenet()
    fit(teacher, data, dataclasses.replace(CONFIG, epochs=6))
    wrong = dataclasses.replace(data, train=dataclasses.replace(data.train, labels=(data.train.labels + 1) % 10))
    for augmentation in ("none", "shift"):  # with opinions asked for once, and at every step
        student = build("lenet5", seed=1)
        config = dataclasses.replace(CONFIG, epochs=6, distill_weight=1.0, augmentation=augmentation)
        fit(student, wrong, config, teacher=teacher)  # the labels are all wrong and have no weight
        assert evaluate(student, data.test, data.mean, data.std) > 75


@pytest.mark.parametrize("shown", ["same", "whole"])
def test_a_teacher_is_shown_the_image_with_or_without_what_is_hidden(data, shown):
    class Watched(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Flatten(), nn.Linear(784, 10))
            self.seen = []

        def forward(self, images):
            self.seen.append(images.detach().clone())
            return super().forward(images)

    bright = dataclasses.replace(data.train, images=data.train.images | 1)  # only what is hidden is 0
    student, teacher = Watched(), Watched()
    teacher.requires_grad_(False)
    config = dataclasses.replace(
        CONFIG, epochs=1, distill_weight=1.0, augmentation="crop-flip-cutout", shown=shown, channels_last=False
    )
    fit(student, dataclasses.replace(data, train=bright, validation=data.validation.take(0)), config, teacher=teacher)
    steps = student.seen[-len(teacher.seen) :]  # before them it was tried on an image
    for there, here in zip(teacher.seen, steps, strict=True):
        hidden = (there != here).flatten(1).sum(1)
        most = 7 * 7 if shown == "whole" else 0
        assert hidden.max() == most  # fewer where it is hidden beyond the border of the shifted image
        assert (here[there != here] == here.min()).all()


def test_what_is_pasted_into_an_image_counts_by_its_own_label(data, monkeypatch):
    monkeypatch.setattr(loop, "augment", lambda images, kind: images)
    monkeypatch.setattr(loop, "cutmix", lambda images: (images, torch.full((len(images),), 0.25)))
    model, count = lenet(), len(data.train)
    order = epoch_order(count, CONFIG.seed, 0)
    images, labels = torch.from_numpy(data.train.images)[order], torch.from_numpy(data.train.labels)[order]
    with torch.no_grad():
        logits = model((images.float() - data.mean) / data.std)
    own, others = (F.cross_entropy(logits, targets) for targets in (labels, labels.roll(-1)))
    once = dataclasses.replace(CONFIG, epochs=1, batch_size=count, augmentation="crop-flip-cutmix")
    assert fit(model, data, once).history[0].loss == pytest.approx(float(0.75 * own + 0.25 * others), rel=1e-5)


def test_parametrised_weights_are_trained_and_kept(data):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("factor", torch.tensor(2.0))

        def forward(self, x):
            return x * self.factor

        def right_inverse(self, x):
            return x / self.factor

    model = lenet(batch_norm=True)
    for layer in (model.conv2, model.fc1):
        parametrize.register_parametrization(layer, "weight", Scaled())
    before = model.conv2.weight.detach().clone()
    result = fit(model, data, dataclasses.replace(CONFIG, epochs=6))
    assert parametrize.is_parametrized(model.conv2, "weight")
    assert not torch.equal(before, model.conv2.weight)
    assert result.accuracy == evaluate(model, data.validation, data.mean, data.std) > 75


def test_a_hook_that_changes_the_model_starts_the_selection_anew(data):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))
    calls = []

    def hook(m, epoch, epochs):
        calls.append((epoch, epochs))
        if epoch == 2:
            m[1], m[3] = nn.Linear(784, 4), nn.Linear(4, 10)
            return True
        return None

    result = fit(model, data, dataclasses.replace(CONFIG, epochs=4), epoch_hook=hook)
    assert calls == [(e, 4) for e in range(4)]
    assert model[1].weight.shape == (4, 784)
    assert result.best_epoch in (3, 4)
    assert result.history[3].loss < result.history[2].loss


def test_what_cannot_be_trained_is_refused(data):
    for change, message in (
        ({"train": dataclasses.replace(data.train, labels=data.train.labels + 1)}, "labels run from 1 to 10"),
        ({"train": Bare(data.train.images[1:], data.train.labels)}, "599 images and 600 labels"),
        ({"train": Bare(data.train.images / 255, data.train.labels)}, "wants uint8 images"),
        ({"train": data.train.take(0)}, "training split has 0 images"),
        ({"validation": Bare(data.validation.images[1:], data.validation.labels)}, "199 images and 200 labels"),
        ({"train": dataclasses.replace(data.train, images=data.train.images[:, :, :20])}, r"shape \(1, 20, 28\)"),
    ):  # fmt: skip
        with pytest.raises(TrainingError, match=message):
            fit(lenet(), dataclasses.replace(data, **change))
    with pytest.raises(TrainingError, match="takes both"):
        fit(lenet(), data, teacher=lenet())
    with pytest.raises(TrainingError, match="takes both"):
        fit(lenet(), data, dataclasses.replace(CONFIG, distill_weight=0.5))


def test_a_lost_loss_stops_the_run_and_is_not_saved(data, tmp_path):
    config = dataclasses.replace(CONFIG, optimizer="sgd", lr=1e9, warmup=0.0, checkpoint_seconds=0.0)
    with pytest.raises(TrainingError, match="the loss became nan in epoch 1: lower lr"):
        fit(lenet(), data, config, checkpoint=tmp_path / "run.ckpt")


def test_a_last_image_alone_does_not_break_batch_norm(data):
    odd = dataclasses.replace(
        data, train=dataclasses.replace(data.train, images=data.train.images[:65], labels=data.train.labels[:65])
    )
    assert fit(lenet(batch_norm=True), odd, dataclasses.replace(CONFIG, epochs=1)).epochs == 1


def test_read_only_arrays_serve(data):
    images = data.train.images.copy()
    images.flags.writeable = False
    fit(lenet(), dataclasses.replace(data, train=dataclasses.replace(data.train, images=images)), CONFIG)
    assert np.array_equal(images, data.train.images)
