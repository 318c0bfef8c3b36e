import copy
import io

import networks
import numpy as np
import pytest
import torch
from digits import digits
from torch.nn import functional as F

from horner import models
from horner.approximation import approximate_
from horner.backends import reference
from horner.errors import ModelError
from horner.frontend.convert import quantised, to_program
from horner.frontend.freeze import freeze
from horner.frontend.network import ConvStage
from horner.program.file import load, save
from horner.training import TrainConfig, evaluate, train

PLAN = "out=linear/4 row=linear; conv2: ranked=linear/4bit zero; fc*: in=linear/4 bits=7"


@pytest.fixture(scope="module")
def lenet():
    """A LeNet trained for a few seconds on real digits, and its images as it takes them."""
    data = digits(2000, 200, 400)
    torch.manual_seed(0)
    model = models.build("lenet5", batch_norm=True, seed=0)
    train(model, data, TrainConfig(epochs=3, threads=1, device="cpu"), progress=False)
    return model, data, normalised(data.train.images[:200], data)


def normalised(images, data):
    return (torch.from_numpy(images).float() - data.mean) / data.std


def percent(logits, labels):
    return 100 * float((logits.argmax(1) == labels).mean())


def approximated(lenet):
    model, _, images = lenet
    return approximate_(copy.deepcopy(model), PLAN, example=images[:1])


def test_eight_bits_cost_less_than_a_point(lenet):
    model, data, images = lenet
    program = to_program(model, images, pixels=(data.mean, data.std))
    dense = evaluate(model, data.test, data.mean, data.std)
    outputs = reference.run(program, data.test.images)
    assert dense > 85
    assert percent(outputs, data.test.labels) > dense - 1
    with torch.no_grad():
        own = model(normalised(data.test.images, data)).numpy()
    assert (outputs.argmax(1) == own.argmax(1)).mean() > 0.985


def test_the_network_computes_what_its_program_does_bit_for_bit(lenet):
    _, data, images = lenet
    network = quantised(approximated(lenet), images, pixels=(data.mean, data.std))
    program = freeze(network)
    tests = data.test.images[:100]
    with torch.no_grad():
        results = zip(network.trace(normalised(tests, data)), reference.trace(program, tests), strict=True)
        for value, (simulated, computed) in zip(program.values[1:], results, strict=True):
            np.testing.assert_array_equal(simulated.numpy() + value.zero_point, computed)


def test_training_rounds_only_what_pooling_leaves_and_gets_the_same(lenet):
    _, data, images = lenet
    network = quantised(approximated(lenet), images, pixels=(data.mean, data.std))
    with torch.no_grad():
        scales = network.layers()[0].scale.originals[0]
        scales[::2] = -scales[::2]  # the largest sum is then the least result
        whole = list(network.eval().trace(images))
        rounded = list(network.train().trace(images))
        assert rounded[0].shape == whole[1].shape
        assert (rounded[1] != whole[1]).float().mean() < 1e-3  # float32 may decide a half otherwise than float64


def test_pixels_and_real_images_give_the_same_outputs(lenet):
    _, data, images = lenet
    program = to_program(lenet[0], images, pixels=(data.mean, data.std))
    tests = data.test.images[:50]
    np.testing.assert_array_equal(
        reference.run(program, tests), reference.run(program, normalised(tests, data).numpy())
    )


def test_a_mean_half_way_between_pixels_is_no_trouble(lenet):
    model, data, _ = lenet
    images = (torch.from_numpy(data.train.images[:50]).float() - 130.5) / 70
    network = quantised(model, images, pixels=(130.5, 70.0))
    outputs = reference.run(freeze(network), data.train.images[:50])
    with torch.no_grad():
        np.testing.assert_allclose(freeze(network).logits(outputs), network(images).numpy(), rtol=1e-5, atol=1e-5)


def test_calibration_is_deterministic_and_does_not_depend_on_the_batch_much(lenet):
    model, _, images = lenet
    one, two = (freeze(quantised(model, images)) for _ in range(2))
    assert one.output_scale == two.output_scale
    for (_, a), (_, b) in zip(one.convolutions(), two.convolutions(), strict=True):
        assert (a.weights.core == b.weights.core).all()
        assert (a.output.multiplier.core == b.output.multiplier.core).all()
    rest = quantised(model, images).calibrate(images, batch=37)
    assert float(rest.grids()[-1].scale.detach()) == pytest.approx(one.output_scale, rel=0.1)


def test_every_part_learns(lenet):
    network = quantised(approximated(lenet), lenet[2]).train()
    labels = torch.from_numpy(lenet[1].train.labels[:200])
    F.cross_entropy(network(lenet[2]), labels).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name
            assert float(parameter.grad.abs().max()) > 0, name
    assert {name for name, p in network.named_parameters() if not p.requires_grad} == {"input.log_scale"}


@pytest.mark.parametrize(("plan", "optimizer", "lr"), [(PLAN, "adamw", 2e-3), ("bits=2", "sgd", 0.02)])
def test_training_wins_back_what_rounding_lost(lenet, plan, optimizer, lr):
    model, data, images = lenet
    model = approximate_(copy.deepcopy(model), plan, example=images[:1])
    network = quantised(model, images, pixels=(data.mean, data.std))
    before = percent(reference.run(freeze(network), data.test.images), data.test.labels)
    config = TrainConfig(epochs=2, lr=lr, optimizer=optimizer, weight_decay=1e-4, threads=1, device="cpu")
    train(network, data, config, progress=False)
    after = percent(reference.run(freeze(network), data.test.images), data.test.labels)
    assert after > before + 2
    assert after == pytest.approx(evaluate(network, data.test, data.mean, data.std))


def test_copies_and_saved_states_are_the_same_network(lenet):
    _, data, images = lenet
    model = approximated(lenet)
    network = quantised(model, images, pixels=(data.mean, data.std))
    twin = copy.deepcopy(network)
    fresh = quantised(model, images[:5])
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    with torch.no_grad():
        wanted = network(images)
        assert torch.equal(twin(images), wanted)
        assert torch.equal(fresh(images), wanted)
    assert freeze(fresh).input == freeze(network).input
    next(p for p in twin.parameters() if p.requires_grad).data.add_(1.0)
    with torch.no_grad():
        assert torch.equal(network(images), wanted)


def test_an_interrupted_run_goes_on_to_the_same_weights(lenet, tmp_path):
    _, data, images = lenet
    config = TrainConfig(epochs=2, lr=1e-3, threads=1, device="cpu")
    whole, parts, again = (quantised(approximated(lenet), images) for _ in range(3))
    train(whole, data, config, progress=False)

    class StopError(Exception):
        pass

    def stop(model, epoch, epochs):
        if epoch == 1 and not stopped:
            stopped.append(epoch)
            raise StopError

    stopped: list[int] = []
    with pytest.raises(StopError):
        train(parts, data, config, checkpoint=tmp_path / "run", progress=False, epoch_hook=stop)
    train(again, data, config, checkpoint=tmp_path / "run", progress=False, epoch_hook=stop)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_files_hold_the_program(lenet, tmp_path):
    _, data, images = lenet
    program = to_program(approximated(lenet), images, pixels=(data.mean, data.std))
    save(program, tmp_path / "digits.horner")
    tests = data.test.images[:50]
    np.testing.assert_array_equal(reference.run(load(tmp_path / "digits.horner"), tests), reference.run(program, tests))


def test_bfloat16_autocast_does_not_touch_the_integers(lenet):
    network = quantised(lenet[0], lenet[2])
    with torch.no_grad():
        wanted = network(lenet[2])
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(network(lenet[2]), wanted)


def test_freezing_wants_a_calibrated_network(lenet):
    network = quantised(lenet[0], lenet[2])
    network.quantise = False
    with pytest.raises(ModelError, match="calibrate the network"):
        freeze(network)
    assert not freeze(network, integer=False).integer


def test_bad_calibration_images_are_refused(lenet):
    network = quantised(lenet[0], lenet[2])
    with pytest.raises(ModelError, match=r"calibration images of shape \(2, 3, 28, 28\)"):
        network.calibrate(torch.zeros(2, 3, 28, 28))
    with pytest.raises(ModelError, match="not finite"):
        network.calibrate(torch.full((2, 1, 28, 28), float("nan")))
    with pytest.raises(ModelError, match="uint8; normalise them"):
        quantised(lenet[0], lenet[1].train.images[:10])


def test_uint8_images_calibrate_when_pixels_says_how(lenet):
    model, data, images = lenet
    a = to_program(model, data.train.images[:200], pixels=(data.mean, data.std))
    b = to_program(model, images, pixels=(data.mean, data.std))
    assert a.output_scale == pytest.approx(b.output_scale, rel=1e-5)


def test_blank_images_and_dead_layers_still_give_a_program():
    model = networks.foreign("mobilenet")
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.zero_()
    program = to_program(model, torch.zeros(4, 3, 16, 16))
    with torch.no_grad():
        wanted = model(torch.zeros(1, 3, 16, 16)).numpy()
    got = program.logits(reference.run(program, np.zeros((1, 3, 16, 16), np.float32)))
    np.testing.assert_allclose(got, wanted, atol=0.03)


@pytest.mark.parametrize("name", networks.FOREIGN)
def test_reuse_is_dense_on_networks_not_written_for_horner(name):
    model, images = networks.foreign(name), networks.images(32)
    approximate_(model, networks.MIXED[name], example=images)
    network = quantised(model, images)
    assert {type(stage.weight.form).__name__ for stage in network.layers() if isinstance(stage, ConvStage)} == {
        "PositionalWeight",
        "RankedWeight",
    }
    program = freeze(network)
    outputs = reference.run(program, images.numpy())
    assert (outputs == reference.run(program, images.numpy(), method="dense")).all()
    with torch.no_grad():
        real = model(images).numpy()
        np.testing.assert_allclose(program.logits(outputs), network(images).numpy(), rtol=1e-5, atol=1e-5)
    assert (outputs.argmax(1) == real.argmax(1)).mean() > 0.8
