import threading

import numpy as np
import pytest

from horner.backends import c, reference
from horner.errors import ProgramError
from horner.program.layers import AveragePool, MaxPool
from horner.program.program import Input, Program

MEANS = Program(
    Input((3, 32, 32), 0.5, -128, True), (MaxPool(0, (3, 3), (1, 1), (1, 1)), AveragePool(1, (2, 2), (2, 2)))
)


@pytest.fixture(scope="module")
def network():
    return c.compile(MEANS)


def test_takes_what_quantise_takes_and_returns_what_the_reference_does(network):
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (4, 3, 32, 32), np.uint8)
    activations, floats = (pixels ^ 0x80).view(np.int8), pixels * 0.5
    for images in (
        pixels,
        pixels[0],
        activations,
        floats,
        pixels[:0],
        pixels[:, :, ::-1, ::-1],
        np.asfortranarray(pixels),
    ):
        outputs, expected = network(images), reference.run(MEANS, images)
        assert (outputs.shape, outputs.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_array_equal(outputs, expected)


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_one_image_is_read_from_any_memory_and_its_outputs_are_the_caller_s(kind):
    program = Program(Input((3, 8, 8), 1.0, 0, True, kind), (MaxPool(0, (3, 3), (1, 1), (1, 1)),))
    network, generator = c.compile(program), np.random.default_rng(0)
    images = generator.integers(-128, 128, (2, 3, 8, 8)).astype(kind)
    first, second = network(images[0]), network(images[1:])
    strided = np.asfortranarray(images[:1])
    for outputs in (
        first,
        network(strided),
        network((images[0] + 0).astype(np.float64) if kind == "float32" else strided),
    ):
        np.testing.assert_array_equal(outputs, reference.run(program, images[:1]))
    np.testing.assert_array_equal(second, reference.run(program, images[1:]))


def test_nan_is_refused():
    network = c.compile(Program(Input((1, 2, 2), arithmetic="float32"), (MaxPool(0, (2, 2), (2, 2)),)))
    largest = np.finfo(np.float32).max
    assert network(np.array([[[1, largest], [-largest, np.inf]]], np.float32)).tolist() == [[np.inf]]
    with pytest.raises(ProgramError, match="image 0 of 1 holds NaN"):
        network(np.array([[[1, 2], [np.nan, 3]]], np.float32))


def test_images_of_another_shape_are_refused(network):
    with pytest.raises(ProgramError, match="this network reads"):
        network(np.zeros((1, 3, 31, 32), np.uint8))


def test_threads_wait_for_each_other(network):
    generator = np.random.default_rng(1)
    batches = [generator.integers(0, 256, (40, 3, 32, 32), np.uint8) for _ in range(4)]
    results = [None] * 4
    networks = [network, c.compile(MEANS), network, c.compile(MEANS)]  # one library, whoever compiled it

    def work(i):
        results[i] = [networks[i](batches[i]) for _ in range(10)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for batch, outputs in zip(batches, results, strict=True):
        expected = reference.run(MEANS, batch)
        assert all((output == expected).all() for output in outputs)
