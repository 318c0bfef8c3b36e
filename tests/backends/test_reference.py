import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import (
    adaptive_pools,
    adds,
    average_pools,
    concats,
    convs,
    generators,
    images,
    largest_accumulator,
    max_pools,
    programs,
    sources,
)
from torch.nn import functional as F

from horner.backends.reference import accumulate, run, trace
from horner.basis import Axis
from horner.program.bounds import EXACT_DOUBLE
from horner.program.layers import AdaptiveAveragePool, Add, AveragePool, Concat, Conv, Flatten, MaxPool, Output, Value
from horner.program.program import Input, Program
from horner.program.schedule import DENSE, possible
from horner.program.weights import FLOAT_BITS, Positional, Ranked, constant


def by_torch(conv, x):
    """The convolution of the expanded weights, in float64, where integers below 2**53 are exact."""
    weights = torch.from_numpy(conv.weights.expand().astype(np.float64))
    bias = None if conv.bias is None else torch.from_numpy(conv.bias.expand().astype(np.float64))
    x = torch.from_numpy(x.astype(np.float64))
    return F.conv2d(x, weights, bias, conv.stride, conv.padding, conv.dilation, conv.groups).numpy()


@settings(max_examples=150)
@given(st.data())
def test_reuse_gives_the_integers_of_the_dense_convolution(data):
    """The theorem: gather, core, spread, by any schedule, equals the convolution with the expanded weights."""
    source = data.draw(sources())
    conv = data.draw(convs(source))
    assume(largest_accumulator(conv, source) < EXACT_DOUBLE)
    result = conv.infer([source])
    x = data.draw(generators()).integers(-128, 128, (2, *source.shape)) - source.zero_point
    wanted = by_torch(conv, x)
    assert wanted.shape == (2, *result.shape)
    for schedule in possible(conv):
        for kind in (np.int64, np.float64):
            found = accumulate(conv, x.astype(kind), source, result, schedule)
            assert found.dtype == kind
            assert np.array_equal(found, wanted), f"{schedule}, {kind.__name__}"


def conv_of(axes, source, stride, padding, groups, seed):
    """A convolution with random 6-bit coefficients on the given axes."""
    generator = np.random.default_rng(seed)
    core = generator.integers(-32, 32, [axis.coefficients for axis in axes])
    out = axes[0].length
    output = Output(constant(1, out, 8))
    return Conv(0, Positional(axes, core, 6), None, output, (stride, stride), (padding, padding), (1, 1), groups)


@pytest.mark.parametrize("nodes", ["index", "pow2"])
@pytest.mark.parametrize(("stride", "padding", "groups"), [(1, 0, 1), (2, 1, 1), (1, 2, 3), (1, 1, 6)])
def test_the_theorem_for_every_combination_of_axes_and_degrees(nodes, stride, padding, groups):
    source = Value((6, 7, 7), zero_point=-5)
    x = np.random.default_rng(0).integers(-128, 128, (1, *source.shape)) - source.zero_point
    for seed, degrees in enumerate(itertools.product((None, 1, 2), repeat=4)):
        lengths, segments = (12, 6 // groups, 4, 5), (4, 6 // groups, 4, 5)
        axes = tuple(Axis(n, g, d, nodes) for n, g, d in zip(lengths, segments, degrees, strict=True))
        conv = conv_of(axes, source, stride, padding, groups, seed)
        result, wanted = conv.infer([source]), by_torch(conv, x)
        for schedule in possible(conv):
            assert np.array_equal(accumulate(conv, x, source, result, schedule), wanted), (degrees, str(schedule))


@settings(max_examples=100)
@given(programs(integer=True), generators())
def test_a_program_runs_alike_by_reuse_and_dense(program, generator):
    x = images(program, generator)
    reuse, dense = run(program, x), run(program, x, method="dense")
    assert reuse.dtype == np.int8
    assert np.array_equal(reuse, dense)
    traced = list(trace(program, x))
    assert [value.shape[1:] for value in traced] == [value.shape for value in program.values[1:]]
    assert np.array_equal(traced[-1].reshape(reuse.shape), reuse)


@given(programs(), generators())
def test_batches_do_not_matter(program, generator):
    x = images(program, generator, 5)
    whole = run(program, x)
    halves = run(program, x, batch=2)
    np.testing.assert_allclose(halves, whole, rtol=1e-4, atol=1e-4 if not program.integer else 0)
    assert run(program, x[:0]).shape == (0, *whole.shape[1:])
    assert run(program, x[:0]).dtype == whole.dtype
    assert run(program, x[0]).shape == (1, *whole.shape[1:])


def layer_by_torch(layer, inputs):
    """What torch makes of a float layer."""
    x = torch.from_numpy(np.array(inputs[0]))
    match layer:
        case Conv():
            weights = torch.from_numpy(np.array(layer.weights.expand()))
            bias = None if layer.bias is None else torch.from_numpy(np.array(layer.bias.expand()))
            y = F.conv2d(x, weights, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
            y = y * torch.from_numpy(np.array(layer.output.multiplier.expand()))[:, None, None]
            return y.clamp(layer.output.low, layer.output.high)
        case MaxPool():
            return F.max_pool2d(x, layer.kernel, layer.stride, layer.padding, layer.dilation, layer.ceil)
        case AveragePool():
            return F.avg_pool2d(x, layer.kernel, layer.stride, layer.padding, layer.ceil, layer.count_padding)
        case AdaptiveAveragePool():
            return F.adaptive_avg_pool2d(x, layer.size)
        case Add():
            return sum(map(torch.from_numpy, inputs)).clamp(layer.low, layer.high)
        case Concat():
            return torch.cat([*map(torch.from_numpy, inputs)], 1)
        case Flatten():
            return x.flatten(1)[:, :, None, None]


@settings(max_examples=60)
@given(programs(integer=False), generators())
@pytest.mark.parametrize("method", ["reuse", "dense"])
def test_float_layers_agree_with_torch(method, program, generator):
    x = images(program, generator)
    values = [x, *trace(program, x, method)]
    for number, layer in enumerate(program.layers):
        inputs = [values[i] for i in layer.inputs]
        wanted = layer_by_torch(layer, inputs).numpy()
        found = values[number + 1]
        assert found.dtype == np.float32
        assert found.shape == wanted.shape
        size = max([1.0, *(float(np.abs(value).max()) for value in inputs), float(np.abs(wanted).max())])
        if isinstance(layer, Conv):  # reuse adds in another order: compare with the size of what is added
            size = max(size, float(_absolute(layer, inputs[0]).max()))
        np.testing.assert_allclose(found, wanted, atol=1e-4 * size, rtol=1e-4)


def _absolute(conv, x):
    weights = torch.from_numpy(np.abs(conv.weights.expand()))
    return F.conv2d(torch.from_numpy(np.abs(x)), weights, None, conv.stride, conv.padding, conv.dilation, conv.groups)


def half_away(numerator, denominator):
    """Numerator / denominator, rounded to nearest, halves away from zero, in Python integers."""
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return -magnitude if numerator < 0 else magnitude


def clamp(value, low=-128, high=127):
    return min(max(value, low), high)


def integer_input(data, source, number=1):
    return data.draw(generators()).integers(-128, 128, (number, *source.shape), np.int8)


def run_one(layer, source, x):
    program = Program(Input(source.shape, 1.0, source.zero_point), (layer,))
    return next(trace(program, x))[0].astype(int).tolist()


@given(st.data())
def test_integer_max_pool_against_plain_loops(data):
    source = data.draw(sources(channels=2))
    layer = data.draw(max_pools(source))
    x = integer_input(data, source)
    channels, height, width = layer.infer([source]).shape
    wanted = [
        [
            [
                max(
                    int(x[0, c, row, col])
                    for i in range(layer.kernel[0])
                    for j in range(layer.kernel[1])
                    if 0 <= (row := y * layer.stride[0] - layer.padding[0] + i * layer.dilation[0]) < source.shape[1]
                    and 0 <= (col := z * layer.stride[1] - layer.padding[1] + j * layer.dilation[1]) < source.shape[2]
                )
                for z in range(width)
            ]
            for y in range(height)
        ]
        for c in range(channels)
    ]
    assert run_one(layer, source, x) == wanted


@given(st.data())
def test_integer_average_pool_against_plain_loops(data):
    source = data.draw(sources(channels=2))
    layer = data.draw(average_pools(source))
    x = integer_input(data, source)
    channels, height, width = layer.infer([source]).shape

    def mean(c, y, z):
        top, left = y * layer.stride[0] - layer.padding[0], z * layer.stride[1] - layer.padding[1]
        total = inside = padded = 0
        for row in range(top, top + layer.kernel[0]):
            for col in range(left, left + layer.kernel[1]):
                if row < source.shape[1] + layer.padding[0] and col < source.shape[2] + layer.padding[1]:
                    padded += 1
                if 0 <= row < source.shape[1] and 0 <= col < source.shape[2]:
                    inside += 1
                    total += int(x[0, c, row, col]) - source.zero_point
        return clamp(half_away(total, padded if layer.count_padding else inside) + source.zero_point)

    wanted = [[[mean(c, y, z) for z in range(width)] for y in range(height)] for c in range(channels)]
    assert run_one(layer, source, x) == wanted


@given(st.data())
def test_integer_adaptive_pool_against_plain_loops(data):
    source = data.draw(sources(channels=2))
    layer = data.draw(adaptive_pools(source))
    x = integer_input(data, source)
    (height, width), (rows, columns) = source.shape[1:], layer.size

    def mean(c, y, z):
        region = [
            int(x[0, c, row, col]) - source.zero_point
            for row in range(height)
            for col in range(width)
            if row * rows < (y + 1) * height
            and (row + 1) * rows > y * height
            and col * columns < (z + 1) * width
            and (col + 1) * columns > z * width
        ]
        return clamp(half_away(sum(region), len(region)) + source.zero_point)

    wanted = [[[mean(c, y, z) for z in range(columns)] for y in range(rows)] for c in range(source.shape[0])]
    assert run_one(layer, source, x) == wanted


@given(st.data())
def test_integer_add_and_concat_against_plain_loops(data):
    source = data.draw(sources(channels=2, size=3))
    number = data.draw(st.integers(1, 3))
    rescale = [data.draw(adds([0])) for _ in range(number)]
    inputs = list(range(1, number + 1))
    add, concat = data.draw(adds(inputs)), data.draw(concats(inputs))
    x = integer_input(data, source)
    program = Program(Input(source.shape, 1.0, source.zero_point), (*rescale, add, concat))
    *values, found_add, found_concat = [value[0].ravel().astype(int).tolist() for value in trace(program, x)]
    assert values == [
        [
            clamp(
                half_away((int(q) - source.zero_point) * layer.multipliers[0], 1 << layer.shift) + layer.zero_point,
                layer.low,
                layer.high,
            )
            for q in x.ravel()
        ]
        for layer in rescale
    ]
    zeros = [layer.zero_point for layer in rescale]
    assert found_add == [
        clamp(
            half_away(sum((q - z) * m for q, z, m in zip(row, zeros, add.multipliers, strict=True)), 1 << add.shift)
            + add.zero_point,
            add.low,
            add.high,
        )
        for row in zip(*values, strict=True)
    ]
    assert found_concat == [
        clamp(half_away((q - z) * m, 1 << concat.shift) + concat.zero_point)
        for value, z, m in zip(values, zeros, concat.multipliers, strict=True)
        for q in value
    ]


@given(st.data())
def test_a_convolution_ends_in_the_integer_semantics(data):
    source = data.draw(sources(channels=3, size=5))
    conv = data.draw(convs(source))
    assume(largest_accumulator(conv, source) < EXACT_DOUBLE)
    x = integer_input(data, source)
    sums = by_torch(conv, x.astype(int) - source.zero_point)[0].astype(int)
    out, multipliers = conv.output, conv.output.multiplier.expand().tolist()
    wanted = [
        [
            clamp(half_away(int(total) * multiplier, 1 << out.shift) + out.zero_point, out.low, out.high)
            for total in channel.ravel()
        ]
        for channel, multiplier in zip(sums, multipliers, strict=True)
    ]
    assert [[q for row in channel for q in row] for channel in run_one(conv, source, x)] == wanted


def test_sums_beyond_float64_stay_exact():
    # 2**54 - 1 is no float64; as 2**54 it would round to 1 instead of 0
    axes = (Axis(1), Axis(3), Axis(1), Axis(1))
    weights = Positional(axes, np.full((1, 3, 1, 1), 1 << 14), 16, np.full((1, 1, 1, 1), 31))
    conv = Conv(0, weights, Positional((Axis(1),), np.array([-1]), 8), Output(constant(1, 1, 2), 55))
    source = Value((3, 1, 1), zero_point=-128)
    x = np.array([127, 127, -126], np.int8).reshape(1, 3, 1, 1)
    sums = accumulate(conv, x.astype(np.int64) + 128, source, conv.infer([source]), DENSE)
    assert sums.item() == 2**54 - 1
    assert run_one(conv, source, x) == [[[0]]]


def test_an_output_map_keeps_its_shape_and_a_vector_drops_its_ones():
    source = Value((1, 2, 2))
    x = np.zeros((3, 1, 2, 2), np.int8)
    assert run(Program(Input(source.shape), (MaxPool(0, (1, 1), (1, 1)),)), x).shape == (3, 1, 2, 2)
    assert run(Program(Input(source.shape), (Flatten(0),)), x).shape == (3, 4)


def test_by_level_with_levels_nobody_uses():
    levels = np.array([[0, 0], [3, 3]], np.uint8).reshape(2, 2, 1, 1)
    for zero in (False, True):
        weights = Ranked(levels, 2, 2, zero, np.array([[1, 2, 3], [-4, 5, -6]]), 8)
        conv = Conv(0, weights, None, Output(constant(1, 2, 2)))
        source = Value((2, 1, 1))
        x = np.array([[[[7]], [[-9]]]])
        sums = [accumulate(conv, x, source, conv.infer([source]), s) for s in possible(conv)]
        assert all(np.array_equal(s, by_torch(conv, x)) for s in sums)


def test_float_programs_take_float_weights_by_level_too():
    levels = np.arange(8, dtype=np.uint8).reshape(2, 4, 1, 1)
    weights = Ranked(levels, 3, 2, True, np.array([[0.5, -0.25, 0.125]], np.float32), FLOAT_BITS)
    conv = Conv(0, weights, None, Output(constant(1.0, 2, FLOAT_BITS)))
    source = Value((4, 1, 1))
    x = np.linspace(-1, 1, 4, dtype=np.float32).reshape(1, 4, 1, 1)
    for schedule in possible(conv):
        found = accumulate(conv, x, source, conv.infer([source]), schedule)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, by_torch(conv, x), rtol=1e-5)
