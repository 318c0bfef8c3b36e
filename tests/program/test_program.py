import dataclasses

import numpy as np
import pytest
from hypothesis import given
from strategies import generators, images, programs

from horner.basis import Axis
from horner.errors import ProgramError
from horner.program.integer import quantise
from horner.program.layers import (
    AdaptiveAveragePool,
    Add,
    AveragePool,
    Concat,
    Conv,
    Flatten,
    MaxPool,
    Output,
    Value,
)
from horner.program.program import Input, Program
from horner.program.weights import FLOAT_BITS, Positional, constant

POOL = MaxPool(0, (2, 2), (2, 2))


def conv(source, *shape, bits=8, **geometry):
    core = np.ones(shape, np.float32 if bits == FLOAT_BITS else np.int32)
    return Conv(
        source, Positional(tuple(map(Axis, shape)), core, bits), None, Output(constant(1, shape[0], bits)), **geometry
    )


def lenet_like():
    return Program(
        Input((1, 8, 8), scale=0.5, zero_point=-128, pixels=True),
        (conv(0, 4, 1, 3, 3), MaxPool(1, (2, 2), (2, 2)), conv(2, 10, 4, 3, 3), Flatten(3), conv(4, 10, 10, 1, 1)),
    )


def test_values_are_inferred_in_order():
    program = lenet_like()
    shapes = [(1, 8, 8), (4, 6, 6), (4, 3, 3), (10, 1, 1), (10, 1, 1), (10, 1, 1)]
    assert [value.shape for value in program.values] == shapes
    assert program.values[0] == Value((1, 8, 8), -128)
    assert program.output == Value((10, 1, 1), 0)


def test_names_count_layers_by_kind_and_a_kernel_as_large_as_its_map_is_linear():
    program = lenet_like()
    assert program.names == ("conv1", "pool1", "linear1", "flatten1", "linear2")
    assert [name for name, _ in program.convolutions()] == ["conv1", "linear1", "linear2"]
    joined = Program(
        Input((2, 4, 4)),
        (
            AveragePool(0, (2, 2), (2, 2)),
            AdaptiveAveragePool(0, (2, 2)),
            Add((1, 2), (1, 1)),
            Concat((1, 3), (1, 1)),
            conv(4, 3, 4, 2, 2, padding=(1, 1)),
        ),
    )
    assert joined.names == ("pool1", "pool2", "add1", "concat1", "conv1")


@given(programs())
def test_names_are_unique_and_every_convolution_is_listed(program):
    assert len(set(program.names)) == len(program.names) == len(program.layers)
    layers = [layer for layer in program.layers if isinstance(layer, Conv)]
    assert [layer for _, layer in program.convolutions()] == layers


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (conv(1, 4, 2, 3, 3), r"\(Conv\): weights \(4, 2, 3, 3\) in 1 groups do not fit 1 channels"),
        (conv(1, 4, 1, 5, 5), r"\(Conv\): a kernel of \(5, 5\)"),
        (conv(2, 4, 1, 3, 3), r"\(Conv\): reads values \(2,\), of which only 0 to 1 exist here"),
        (conv(-1, 4, 1, 3, 3), r"\(Conv\): reads values \(-1,\)"),
        (MaxPool(1, (5, 5), (1, 1)), r"\(MaxPool\): a kernel of \(5, 5\)"),
        (AveragePool(1, (2, 2), (1, 1), (2, 2)), r"\(AveragePool\): pooling padding \(2, 2\)"),
        (AdaptiveAveragePool(1, (0, 1)), r"\(AdaptiveAveragePool\): adaptive pooling to \(0, 1\)"),
        (AdaptiveAveragePool(1, (2**13, 2**13)), r"\(AdaptiveAveragePool\): an output of 67108864 elements"),
        (Add((0, 1), (1, 1)), r"\(Add\): cannot add shapes \(1, 8, 8\), \(1, 4, 4\)"),
        (Add((0,), (1, 1)), r"\(Add\): 1 inputs with 2 multipliers"),
        (Concat((0, 1), (1, 1)), r"\(Concat\): cannot concatenate shapes"),
        (Concat((), ()), r"\(Concat\): 0 inputs"),
        (Flatten(3), r"\(Flatten\): reads values \(3,\)"),
    ],
)
def test_what_does_not_fit_together_is_refused_and_the_layer_named(layer, message):
    with pytest.raises(ProgramError, match="^layer 1 " + message):
        Program(Input((1, 8, 8)), (POOL, layer))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (1, 0, 8)}, r"an input of shape \(1, 0, 8\)"),
        ({"shape": (1, 8)}, r"an input of shape \(1, 8\)"),
        ({"shape": (1, 2**13, 2**13)}, "1 to 16777216 elements"),
        ({"zero_point": 128}, "the input's zero point 128 is not int8"),
        ({"scale": 0.0}, "the input scale 0.0 is not a positive float32"),
        ({"scale": -1.0}, "input scale -1.0"),
        ({"scale": float("nan")}, "input scale nan"),
        ({"scale": 1e60}, "input scale 1e"),
    ],
)
def test_an_impossible_input_is_refused(change, message):
    with pytest.raises(ProgramError, match=message):
        Program(Input(**{"shape": (1, 8, 8), **change}), (POOL,))


def test_an_impossible_program_is_refused():
    with pytest.raises(ProgramError, match="1 to 4096 layers, not 0"):
        Program(Input((1, 8, 8)), ())
    with pytest.raises(ProgramError, match="not 4097"):
        Program(Input((1, 8, 8)), (POOL,) * 4097)
    with pytest.raises(ProgramError, match="output scale inf"):
        Program(Input((1, 8, 8)), (POOL,), output_scale=float("inf"))


def test_a_program_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        lenet_like().layers = ()


PIXELS = Input((1, 8, 8), scale=0.5, zero_point=-100, pixels=True)


def test_pixels_become_themselves_less_128():
    program = Program(PIXELS, (POOL,))
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8) * 4
    found = program.quantise(pixels)
    assert found.dtype == np.int8
    assert np.array_equal(found.astype(int), pixels.astype(int) - 128)
    assert np.array_equal(program.quantise(pixels[:, :, ::-1]), found[:, :, ::-1])


def test_activations_are_taken_as_they_are_and_floats_are_quantised():
    program = Program(PIXELS, (POOL,))
    activations = np.arange(-64, 0, dtype=np.int8).reshape(1, 1, 8, 8)
    assert np.array_equal(program.quantise(activations), activations)
    for kind in (np.float16, np.float32, np.float64):
        real = np.linspace(-5, 5, 64).reshape(1, 1, 8, 8).astype(kind)
        assert np.array_equal(program.quantise(real), quantise(real, 0.5, -100))


def test_a_float_program_reads_real_values_whatever_it_is_given():
    program = Program(dataclasses.replace(PIXELS, arithmetic="float32"), (POOL,))
    activations = np.arange(-64, 0, dtype=np.int8).reshape(1, 1, 8, 8)
    real = (activations.astype(np.float32) + 100) * np.float32(0.5)
    for given_ in (activations, (activations.astype(int) + 128).astype(np.uint8), real, real.astype(np.float64)):
        found = program.quantise(given_)
        assert found.dtype == np.float32
        assert np.array_equal(found, real)


def test_one_image_is_a_batch_of_one():
    program = lenet_like()
    assert program.quantise(np.zeros((1, 8, 8), np.uint8)).shape == (1, 1, 8, 8)
    assert program.quantise(np.zeros((0, 1, 8, 8), np.uint8)).shape == (0, 1, 8, 8)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 8, 8), r"images of shape \(3, 8, 8\); this network reads \(n, 1, 8, 8\)"),
        ((5, 3, 8, 8), r"images of shape \(5, 3, 8, 8\); this network reads \(n, 1, 8, 8\)"),
        ((8, 8), r"images of shape \(8, 8\)"),
        ((2, 1, 8, 7), r"images of shape \(2, 1, 8, 7\)"),
        ((), r"images of shape \(\)"),
    ],
)
def test_images_of_another_shape_are_refused_in_one_line(shape, message):
    with pytest.raises(ProgramError, match=f"^{message}") as caught:
        lenet_like().quantise(np.zeros(shape, np.uint8))
    assert "\n" not in str(caught.value)


def test_images_of_another_type_are_refused():
    program = lenet_like()
    for kind in (np.int64, np.uint16, np.bool_, np.complex64, object):
        with pytest.raises(ProgramError, match=f"images of type {np.dtype(kind)}; give uint8 pixels, int8"):
            program.quantise(np.zeros((1, 1, 8, 8), kind))
    normalised = Program(Input((1, 8, 8)), (POOL,))
    with pytest.raises(ProgramError, match="give it float images"):
        normalised.quantise(np.zeros((1, 1, 8, 8), np.uint8))


@pytest.mark.parametrize("arithmetic", ["int8", "float32"])
def test_images_that_are_not_numbers_are_refused(arithmetic):
    image = np.zeros((2, 1, 8, 8), np.float32)
    image[1, 0, 3, 4] = np.nan
    with pytest.raises(ProgramError, match="image 1 of 2 holds NaN"):
        Program(Input((1, 8, 8), arithmetic=arithmetic), (POOL,)).quantise(image)


def test_logits_are_what_outputs_stand_for():
    program = dataclasses.replace(lenet_like(), output_scale=0.25)
    outputs = np.array([[-4, 0, 8]], np.int8)
    assert program.logits(outputs).dtype == np.float32
    assert program.logits(outputs).tolist() == [[-1.0, 0.0, 2.0]]
    exact = np.exp([-1, 0, 2]) / np.exp([-1, 0, 2]).sum()
    np.testing.assert_allclose(program.probabilities(outputs), [exact], rtol=1e-6)


def test_probabilities_of_large_logits_are_finite():
    program = Program(Input((1, 8, 8), arithmetic="float32"), (POOL,))
    found = program.probabilities(np.array([[1000.0, -1000.0, 1000.0]], np.float32))
    np.testing.assert_allclose(found, [[0.5, 0.0, 0.5]])


@given(programs(), generators())
def test_what_a_program_reads_is_of_its_arithmetic(program, generator):
    x = program.quantise(images(program, generator))
    assert x.dtype == (np.int8 if program.integer else np.float32)
    assert x.shape[1:] == program.values[0].shape
