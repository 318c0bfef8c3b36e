import copy
import dataclasses
import math

import pytest
import torch
from digits import digits
from torch import nn

from horner import models
from horner.approximation import approximate_, approximated, coefficients
from horner.backends import reference
from horner.errors import DataError, ModelError, TrainingError
from horner.evaluation import accuracy
from horner.pipeline import (
    Retraining,
    Tightening,
    Unrounded,
    approximate,
    calibration_images,
    finetune,
    gentle,
    redrawn,
    relative_groups,
)
from horner.plan import Plan
from horner.training import TrainConfig

PLAN = Plan.parse("bits=6; conv1: row=quadratic col=quadratic; fc1: out=linear/8 in=linear/4 map=5x5")
SHORT = TrainConfig(epochs=2, batch_size=64, device="cpu", lr=3e-3)


@pytest.fixture(scope="module")
def data():
    return digits(train=512, validation=128, test=128)


@pytest.fixture(scope="module")
def dense():
    return models.build("lenet5", batch_norm=True, seed=0)


@pytest.fixture(scope="module")
def made(dense, data, tmp_path_factory):
    settings = Retraining.like(SHORT, 3, steps=2)
    return approximate(dense, data, PLAN, settings, checkpoints=tmp_path_factory.mktemp("run"), progress=False)


def test_stages_share_the_epochs_and_what_the_dense_network_was_trained_with():
    dense = TrainConfig(epochs=10, seed=7, batch_size=32, device="cpu")
    for total in (2, 3, 10, 21):
        settings = Retraining.like(dense, total)
        assert settings.real.epochs + settings.quantised.epochs == total
        assert min(settings.real.epochs, settings.quantised.epochs) >= 1
        for stage in (settings.real, settings.quantised):
            assert (stage.seed, stage.batch_size, stage.device) == (7, 32, "cpu")
    with pytest.raises(TrainingError, match="at least 2 epochs"):
        Retraining.like(dense, 1)


def test_weights_drawn_anew_take_large_steps_of_muon_unless_other_settings_are_given():
    dense = TrainConfig(lr=0.001)
    assert Retraining.like(dense, 4, fit="random").real.optimizer == "muon"
    assert Retraining.like(dense, 4, fit="random", real={"optimizer": "sgd"}).real.optimizer == "sgd"
    for settings in (Retraining.like(dense, 4), Retraining.like(dense, 4, fit="activations")):
        assert settings.real.optimizer == "adamw"
    assert Retraining.like(dense, 4, fit="random").quantised.optimizer == "adamw"


def test_the_program_is_what_the_last_stage_trained(made, data):
    assert made.epochs == 3
    assert list(made.runs) == ["real", "quantised"]
    images = torch.from_numpy(data.test.images).float().sub(data.mean).div(data.std)
    with torch.no_grad():
        simulated = made.network.eval()(images).argmax(1).numpy()
    assert (reference.run(made.program, data.test.images).argmax(1) == simulated).all()


def test_the_dense_network_is_left_alone_and_its_arrangement_computes_the_same(made, dense, data):
    assert not approximated(dense)
    images = calibration_images(data, 16)
    with torch.no_grad():
        torch.testing.assert_close(made.arranged.eval()(images), dense.eval()(images), rtol=1e-4, atol=1e-4)


def test_without_retraining_the_fit_alone_makes_the_program(dense, data):
    fitted = approximate(dense, data, PLAN, None, progress=False)
    assert fitted.epochs == 0
    assert reference.run(fitted.program, data.test.images[:2]).shape == (2, 10)


def test_interrupted_between_stages_it_goes_on_to_the_same_program(made, dense, data, tmp_path):
    settings = Retraining.like(SHORT, 3, steps=2)
    stopped = []

    def stop(line):
        if line.startswith("real"):
            stopped.append(line)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        approximate(dense, data, PLAN, settings, checkpoints=tmp_path, say=stop, progress=False)
    again = approximate(dense, data, PLAN, settings, checkpoints=tmp_path, progress=False)
    assert stopped
    outputs = [reference.run(m.program, data.test.images) for m in (made, again)]
    assert (outputs[0] == outputs[1]).all()


def test_tightening_goes_from_loose_to_the_plan_itself(dense, data):
    model = copy.deepcopy(dense)
    hook = Tightening(model, PLAN, 3, calibration_images(data, 2))
    approximate_(model, hook.plans[0])
    counts = []
    for epoch in range(6):
        changed = hook(model, epoch, 6)
        assert changed == (epoch in (2, 4))
        counts.append(sum(c.numel() for c in coefficients(model).values()))
    assert counts[0] == counts[1] > counts[2] == counts[3] > counts[4] == counts[5]
    assert hook.plans[-1] == PLAN


def test_steps_are_relative_to_a_tensors_size_but_not_for_norms():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4))
    conv, gain, offset = relative_groups(model)
    rms = float(model[0].weight.detach().square().mean().sqrt())
    assert math.isclose(conv["lr"], rms, rel_tol=1e-6)
    assert gain["lr"] == offset["lr"] == 1.0


def test_redrawn_weights_are_new_and_reproducible(dense):
    first, again, other = (redrawn(dense, seed).conv1.weight.detach() for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, dense.conv1.weight.detach())


def test_random_and_activation_aware_starts_end_in_programs_too(dense, data):
    for fit in ("random", "activations"):
        settings = dataclasses.replace(Retraining.like(SHORT, 2), fit=fit, arrange=False)
        result = approximate(dense, data, PLAN, settings, progress=False)
        assert len(result.program.layers) == 7


def right(program, split) -> float:
    return accuracy(reference.run(program, split.images), split.labels)


def test_a_program_trained_on_is_better_and_has_the_form_and_bits_that_it_had(made, data):
    config = dataclasses.replace(gentle(SHORT, 0.5), epochs=6, lr=0.02)
    better, runs = finetune(made.program, data, config, progress=False)
    assert right(better, data.validation) == runs["finetuned"].accuracy > right(made.program, data.validation)
    for (name, now), (_, then) in zip(better.convolutions(), made.program.convolutions(), strict=True):
        assert (now.weights.axes, now.weights.bits) == (then.weights.axes, then.weights.bits), name


def test_one_that_training_on_makes_worse_stays_as_it_was(made, data):
    harmful = dataclasses.replace(data, train=dataclasses.replace(data.train, labels=(data.train.labels + 1) % 10))
    config = dataclasses.replace(gentle(SHORT, 0.0), epochs=2, lr=0.1)
    said = []
    kept, runs = finetune(made.program, harmful, config, progress=False, say=said.append)
    assert kept is made.program
    assert runs["finetuned"].accuracy < right(kept, data.validation)
    assert said[-1].endswith("and stays")


def test_what_coefficients_were_before_rounding_teaches_what_becomes_of_them(made, dense, data):
    program = approximate(dense, data, Plan.parse("bits=2"), None, progress=False).program  # has opinions of its own
    still = dataclasses.replace(gentle(SHORT, 1.0), epochs=1, lr=1e-12)
    before = Unrounded(copy.deepcopy(made.model), PLAN, still)
    _, runs = finetune(program, data, still, unrounded=before, progress=False)
    refined, rounded = (runs[stage].history[0].loss for stage in ("refined", "finetuned"))
    assert 0 < 20 * rounded < refined


def test_other_programs_teach_if_they_read_such_images(made, dense, data):
    config = dataclasses.replace(gentle(SHORT, 0.9), epochs=1, lr=0.01, augmentation="shift")
    other = approximate(dense, data, Plan.parse("bits=8"), None, progress=False).program
    alone, taught = (finetune(made.program, data, config, members, progress=False)[1] for members in ((), (other,)))
    assert alone["finetuned"].history[0].loss != taught["finetuned"].history[0].loss
    floats = dataclasses.replace(made.program, input=dataclasses.replace(made.program.input, pixels=False))
    with pytest.raises(ModelError, match="the program was not trained on plain pixels"):
        finetune(floats, data, config, progress=False)
    fewer = dataclasses.replace(data, classes=data.classes[:9])
    with pytest.raises(DataError, match="the program tells 10 classes apart, digits has 9"):
        finetune(made.program, fewer, config, progress=False)
