import networks
import numpy as np
import pytest
import torch

from horner.approximation import approximate_
from horner.approximation.arrange import arrange_
from horner.backends import reference
from horner.backends.c import compile as compile_c
from horner.frontend.convert import quantised, to_program
from horner.frontend.freeze import freeze


@pytest.mark.parametrize("name", networks.FOREIGN)
def test_networks_not_written_for_horner_run_in_c_bit_for_bit(name):
    model, images = networks.foreign(name), networks.images(16)
    arrange_(model, images, networks.MIXED[name])
    approximate_(model, networks.MIXED[name], example=images)
    program = to_program(model, images)
    np.testing.assert_array_equal(compile_c(program)(images.numpy()), reference.run(program, images.numpy()))


def test_a_plan_given_is_taken_instead_of_the_models_own():
    model, images = networks.foreign("bottleneck"), networks.images(4)
    approximate_(model, "out=linear/4 bits=6")
    assert {conv.weights.bits for _, conv in to_program(model, images).convolutions()} == {6}
    assert {conv.weights.bits for _, conv in to_program(model, images, plan="bits=5").convolutions()} == {5}


def test_one_image_and_numpy_arrays_calibrate():
    model, images = networks.foreign("mobilenet"), networks.images(4)
    assert to_program(model, images[0]).integer
    one, two = to_program(model, images), to_program(model, images.numpy())
    assert one.output_scale == two.output_scale


def test_a_quantised_network_is_frozen_as_it_is():
    model, images = networks.foreign("mobilenet"), networks.images(4)
    network = quantised(model, images)
    assert to_program(network, images).output_scale == freeze(network).output_scale


@pytest.mark.parametrize("device", ["cpu", *["cuda"] * torch.cuda.is_available()])
def test_models_stay_on_their_device_and_become_the_same_program(device):
    model, images = networks.foreign("mobilenet"), networks.images(32)
    wanted = to_program(model, images)
    images = images.to(device)
    program = to_program(model.to(device), images)
    assert {parameter.device.type for parameter in model.parameters()} == {device}
    assert program.output_scale == pytest.approx(wanted.output_scale, rel=1e-3)
    network = quantised(model, images)
    with torch.no_grad():
        simulated = network(images).cpu().numpy()
    outputs = program.logits(reference.run(program, images.cpu().numpy()))
    np.testing.assert_allclose(simulated, outputs, atol=1.5 * program.output_scale)
