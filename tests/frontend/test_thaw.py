import dataclasses

import networks
import numpy as np
import pytest
import torch
from digits import digits
from hypothesis import given, settings
from hypothesis import strategies as st

from horner import zoo
from horner.approximation import approximate_
from horner.backends import reference
from horner.errors import ModelError
from horner.frontend.convert import quantised, to_program
from horner.frontend.freeze import freeze
from horner.frontend.thaw import thaw
from horner.program.file import dumps, load
from horner.program.layers import Add, Concat
from horner.program.program import Program

SMALL = sorted(name for name, entry in zoo.entries().items() if entry.file_bytes < 100_000)


def mixed(name: str, seed: int = 0, plan: str = "") -> Program:
    model, images = networks.foreign(name, seed), networks.images(16)
    approximate_(model, plan or networks.MIXED[name], example=images)
    return to_program(model, images)


@pytest.mark.parametrize("name", networks.FOREIGN)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**16))
def test_a_program_thawed_and_frozen_is_the_same_file(name, seed):
    program = mixed(name, seed)
    again = freeze(thaw(program))
    if name == "densenet":  # its concatenations tie the same scales again and again, each ratio rounded on its own
        pairs = [
            (then, now) for then, now in zip(program.layers, again.layers, strict=True) if isinstance(then, Concat)
        ]
        assert all(np.abs(np.subtract(then.multipliers, now.multipliers)).max() <= 2 for then, now in pairs)
        former = {id(now): then for then, now in pairs}
        again = dataclasses.replace(again, layers=tuple(former.get(id(layer), layer) for layer in again.layers))
    assert dumps(again) == dumps(program)


@pytest.mark.parametrize("name", SMALL)
def test_so_is_every_program_of_the_zoo(name):
    program = load(zoo.find(f"zoo:{name}"))
    assert dumps(freeze(thaw(program))) == dumps(program)


@pytest.mark.parametrize("name", networks.FOREIGN)
def test_the_network_computes_the_integers_of_the_program(name):
    program, images = mixed(name), networks.images(8, seed=1)
    with torch.no_grad():
        simulated = thaw(program)(images).numpy()
    outputs = program.logits(reference.run(program, program.quantise(images.numpy())))
    np.testing.assert_allclose(simulated, outputs, rtol=1e-5, atol=1e-5 * program.output_scale)


def test_a_program_that_reads_pixels_takes_images_as_it_was_trained_to():
    data, program = digits(), load(zoo.find("zoo:lenet5"))
    mean, std = program.input.zero_point + 128, 1 / program.input.scale
    images = (torch.from_numpy(data.test.images).float() - mean) / std
    with torch.no_grad():
        simulated = thaw(program)(images).numpy()
    outputs = program.logits(reference.run(program, data.test.images))
    apart = np.abs(simulated - outputs.reshape(simulated.shape))
    assert (apart < 1e-3 * program.output_scale).mean() > 0.99  # float32 may round a half the other way
    assert apart.max() < 2.5 * program.output_scale


def test_what_is_thawed_is_trained():
    program, images = mixed("mobilenet"), networks.images(16)
    network = thaw(program).train()
    network(images).square().sum().backward()
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    fresh = quantised(networks.foreign("mobilenet"), images)
    assert {name.rsplit(".", 1)[-1] for name in moved} >= {"log_scale", "log_step", "0"}
    assert len(network.stages) == len(fresh.stages)
    assert all(
        float(p.grad.abs().sum()) > 0 for name, p in network.named_parameters() if name.endswith("weight.originals.0")
    )


@pytest.mark.parametrize("name", ["vgg16-84k", "resnet20", "lenet5"])
def test_no_gradient_is_so_small_that_adam_takes_it_for_none(name):
    program = load(zoo.find(f"zoo:{name}"))
    network = thaw(program).train()
    shape, scale, zero = program.input.shape, program.input.scale, program.input.zero_point
    pixels = (networks.images(16, shape) * 60 + 128).clamp(0, 255).round()
    network((pixels - zero - 128) * scale).log_softmax(1)[:, 3].mean().backward()
    sizes = {
        path: float(parameter.grad.square().mean().sqrt())
        for path, parameter in network.named_parameters()
        if ".originals." in path
    }
    assert min(sizes.values()) > 1e-6, sizes


def test_what_cannot_be_trained_is_refused():
    model, images = networks.foreign("bottleneck"), networks.images(4)
    with pytest.raises(ModelError, match="computes on float32"):
        thaw(to_program(model, images, integer=False))
    program = to_program(model, images)
    number = next(
        number for number, layer in enumerate(program.layers) if isinstance(layer, Add) and len(layer.inputs) > 1
    )
    add = program.layers[number]
    layers = list(program.layers)
    layers[number] = dataclasses.replace(add, multipliers=(-add.multipliers[0], *add.multipliers[1:]))
    with pytest.raises(ModelError, match=rf"{program.names[number]}: the multiplier -{add.multipliers[0]} stands for"):
        thaw(dataclasses.replace(program, layers=tuple(layers)))
