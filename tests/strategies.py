"""Hypothesis strategies for axes, stored weights, layers and whole programs; shared by all tests.

Structure (lengths, degrees, strides, kinds of layer) is drawn value by value, so that it shrinks; the numbers inside
arrays come from one drawn seed, so that drawing stays fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from horner.basis import LONGEST_POW2, Axis
from horner.program.bounds import accumulator
from horner.program.layers import (
    AdaptiveAveragePool,
    Add,
    AveragePool,
    Concat,
    Conv,
    Flatten,
    Layer,
    MaxPool,
    Output,
    Value,
)
from horner.program.program import Input, Program
from horner.program.schedule import AXES, Schedule
from horner.program.weights import FLOAT_BITS, Positional, Ranked, Weights, constant, terms

SEEDS = st.integers(0, 2**32 - 1)
BITS = st.integers(2, 16)


@st.composite
def generators(draw: st.DrawFn) -> np.random.Generator:
    """A NumPy generator with a drawn seed."""
    return np.random.default_rng(draw(SEEDS))


@st.composite
def axes(draw: st.DrawFn, length: int | None = None, dense: bool = True) -> Axis:
    """An axis of any (or the given) length, segment, degree and nodes; `dense=False` keeps it polynomial."""
    length = draw(st.integers(1, 40)) if length is None else length
    degree = draw(st.sampled_from([None, 0, 1, 2] if dense else [0, 1, 2]))
    nodes = draw(st.sampled_from(["index", "pow2"]))
    longest = min(length, LONGEST_POW2) if nodes == "pow2" and degree is not None else length
    return Axis(length, draw(st.integers(1, longest)), degree, nodes)


def coefficients(generator: np.random.Generator, shape: Sequence[int], bits: int) -> np.ndarray:
    """Random coefficients over the whole range of `bits`, its ends included; standard normal floats for 32."""
    if bits == FLOAT_BITS:
        return generator.standard_normal(shape).astype(np.float32)
    limit = 1 << (bits - 1)
    return generator.integers(-limit, limit, shape, np.int32)


@st.composite
def positional(
    draw: st.DrawFn, shape: Sequence[int], bits: st.SearchStrategy[int] = BITS, most_shift: int = 3
) -> Positional:
    """Weights (or, with one axis, a per-channel vector) of the given expanded shape, any axes, bits and shifts."""
    stored = draw(bits)
    parts = tuple(draw(axes(length)) for length in shape)
    core = coefficients(draw(generators()), [axis.coefficients for axis in parts], stored)
    if stored == FLOAT_BITS:
        return Positional(parts, core, stored)
    shifts = draw(generators()).integers(0, draw(st.integers(0, most_shift)) + 1, [terms(axis) for axis in parts])
    return Positional(parts, core, stored, shifts)


@st.composite
def ranked(draw: st.DrawFn, shape: Sequence[int], bits: st.SearchStrategy[int] = BITS, most_shift: int = 3) -> Ranked:
    """Weights of the given shape on a curve for the layer or one per filter, with or without a level for zero."""
    stored, level_bits, degree = draw(bits), draw(st.integers(1, 5)), draw(st.integers(0, 2))
    zero = draw(st.booleans())
    generator = draw(generators())
    levels = generator.integers(0, 1 << level_bits, shape, np.uint8)
    families = min(degree + 1, (1 << level_bits) - zero)
    core = coefficients(generator, (draw(st.sampled_from([1, shape[0]])), families), stored)
    shifts = None if stored == FLOAT_BITS else generator.integers(0, draw(st.integers(0, most_shift)) + 1, families)
    return Ranked(levels, level_bits, degree, zero, core, stored, shifts)


def weights(shape: Sequence[int], bits: st.SearchStrategy[int] = BITS) -> st.SearchStrategy[Weights]:
    """Positional or ranked weights of the given shape."""
    return st.one_of(positional(shape, bits), ranked(shape, bits))


@st.composite
def sources(draw: st.DrawFn, channels: int = 6, size: int = 8) -> Value:
    """An activation of at most `channels` channels on maps of at most `size` by `size`, any zero point."""
    shape = draw(st.integers(1, channels)), draw(st.integers(1, size)), draw(st.integers(1, size))
    return Value(shape, draw(st.sampled_from([0, -128, 127]) | st.integers(-128, 127)))


@st.composite
def convs(
    draw: st.DrawFn, source: Value, number: int = 0, integer: bool = True, linear: bool = False, plain: bool = False
) -> Conv:
    """A convolution that fits `source` (value `number` of its program): any geometry, groups, weights, output.

    Its multiplier and shift suit its accumulators, so that outputs are neither all zero nor all saturated.
    `linear` makes it a fully connected layer, `plain` leaves groups and dilation out.
    """
    channels, *size = source.shape
    divisors = [n for n in range(1, channels + 1) if channels % n == 0]
    groups = 1 if linear or plain else draw(st.sampled_from([1, *divisors]))
    out = groups * draw(st.integers(1, max(1, 9 // groups)))
    rows = _geometry(size[0], plain) if not linear else st.just((size[0], 1, 0, 1))
    columns = _geometry(size[1], plain) if not linear else st.just((size[1], 1, 0, 1))
    kernel, stride, padding, dilation = zip(draw(rows), draw(columns), strict=True)
    bits = BITS if integer else st.just(FLOAT_BITS)
    stored = draw(weights((out, channels // groups, *kernel), bits))
    bias = draw(st.none() | positional((out,), bits))
    zero_point = draw(st.integers(-128, 127)) if integer else 0
    identity = Output(constant(1, out, 2 if integer else FLOAT_BITS), 0, zero_point)
    conv = Conv(number, stored, bias, identity, stride, padding, dilation, groups)
    output = draw(_integer_outputs(conv, source) if integer else _float_outputs(out))
    return Conv(number, stored, bias, output, stride, padding, dilation, groups)


def largest_accumulator(conv: Conv, source: Value) -> int:
    """Bound of the accumulators under every schedule at once."""
    if isinstance(conv.weights, Ranked):
        return accumulator(conv, source, Schedule(by_level=True))
    kept = frozenset(name for name, axis in zip(AXES, conv.weights.axes, strict=True) if not axis.dense)
    return accumulator(conv, source, Schedule(kept))


@st.composite
def max_pools(draw: st.DrawFn, source: Value, number: int = 0) -> MaxPool:
    """A max pool that fits `source`; every window meets the map."""
    rows, columns = (draw(_windows(n, dilated=True)) for n in source.shape[1:])
    kernel, stride, padding, dilation = zip(rows, columns, strict=True)
    return MaxPool(number, kernel, stride, padding, dilation, draw(st.booleans()))


@st.composite
def average_pools(draw: st.DrawFn, source: Value, number: int = 0) -> AveragePool:
    """An average pool that fits `source`."""
    rows, columns = (draw(_windows(n)) for n in source.shape[1:])
    kernel, stride, padding, _ = zip(rows, columns, strict=True)
    return AveragePool(number, kernel, stride, padding, draw(st.booleans()), draw(st.booleans()))


@st.composite
def adaptive_pools(draw: st.DrawFn, source: Value, number: int = 0) -> AdaptiveAveragePool:
    """An adaptive pool, to sizes that need not divide the map's and may be larger."""
    _, rows, columns = source.shape
    return AdaptiveAveragePool(number, (draw(st.integers(1, rows + 1)), draw(st.integers(1, columns + 1))))


@st.composite
def adds(draw: st.DrawFn, inputs: Sequence[int], integer: bool = True) -> Add:
    """A sum of the given values, each with its own multiplier."""
    if not integer:
        return Add(tuple(inputs), (1,) * len(inputs), 0, 0, *draw(_clamps(False)))
    shift = draw(st.integers(0, 24))
    zero_point = draw(st.integers(-128, 127))
    return Add(tuple(inputs), _multipliers(draw, shift, len(inputs)), shift, zero_point, *draw(_clamps(True)))


@st.composite
def concats(draw: st.DrawFn, inputs: Sequence[int], integer: bool = True) -> Concat:
    """The given values one after the other, each with its own multiplier."""
    if not integer:
        return Concat(tuple(inputs), (1,) * len(inputs))
    shift = draw(st.integers(0, 24))
    return Concat(tuple(inputs), _multipliers(draw, shift, len(inputs)), shift, draw(st.integers(-128, 127)))


@st.composite
def programs(draw: st.DrawFn, integer: bool | None = None, most_layers: int = 6, channels: int = 4) -> Program:
    """A whole program: a chain with branches, sums and concatenations, often ending in a fully connected layer."""
    integer = draw(st.booleans()) if integer is None else integer
    first = draw(sources(channels))
    values = [first if integer else Value(first.shape)]
    layers: list[Layer] = []
    for _ in range(draw(st.integers(1, most_layers))):
        layers.append(draw(_layers(values, integer)))
        values.append(layers[-1].infer([values[i] for i in layers[-1].inputs]))
    if draw(st.booleans()):
        layers.append(draw(convs(values[-1], len(values) - 1, integer, linear=True)))
    scale = draw(st.sampled_from([1.0, 0.5, 1 / 255, 0.0123]))
    return Program(
        Input(first.shape, scale, first.zero_point, draw(st.booleans()), "int8" if integer else "float32"),
        tuple(layers),
        draw(st.sampled_from([1.0, 0.25, 0.0371])),
        draw(st.sampled_from(["logits", "softmax", "log_softmax"])),
    )


@st.composite
def chains(draw: st.DrawFn, most_layers: int = 3) -> Program:
    """A chain of convolutions, some followed by a maximum over windows that divide the map."""
    first = draw(sources(3, 6))
    values, layers = [first], []
    for _ in range(draw(st.integers(1, most_layers))):
        layers.append(draw(convs(values[-1], len(values) - 1, plain=True)))
        values.append(layers[-1].infer([values[-1]]))
        window = tuple(draw(st.sampled_from([n for n in (1, 2, 3) if size % n == 0])) for size in values[-1].shape[1:])
        if window != (1, 1):
            layers.append(MaxPool(len(values) - 1, window, window))
            values.append(layers[-1].infer([values[-1]]))
    return Program(Input(first.shape, 1.0, first.zero_point), tuple(layers))


def images(program: Program, generator: np.random.Generator, number: int = 3) -> np.ndarray:
    """Random int8 images over their whole range for an integer program, normal floats for a float one."""
    shape = (number, *program.input.shape)
    if program.integer:
        return generator.integers(-128, 128, shape, np.int8)
    return generator.standard_normal(shape).astype(np.float32)


@st.composite
def _geometry(draw: st.DrawFn, length: int, plain: bool = False) -> tuple[int, int, int, int]:
    """Kernel, stride, padding and dilation of a convolution along one dimension."""
    padding = draw(st.integers(0, 2))
    dilation = 1 if plain else draw(st.sampled_from([1, 1, 2, 3]))
    kernel = draw(st.integers(1, min((length + 2 * padding - 1) // dilation + 1, 5)))
    return kernel, draw(st.integers(1, 3)), padding, dilation


@st.composite
def _windows(draw: st.DrawFn, length: int, dilated: bool = False) -> tuple[int, int, int, int]:
    """Kernel, stride, padding and dilation of a pool along one dimension."""
    kernel = draw(st.integers(1, min(length + 1, 4)))
    least = max(0, -(-(kernel - length) // 2))
    padding = draw(st.integers(least, kernel // 2))
    fits = dilated and padding == 0 and kernel > 1
    dilation = draw(st.integers(1, max(1, (length - 1) // (kernel - 1)))) if fits else 1
    return kernel, draw(st.integers(1, 3)), padding, dilation


@st.composite
def _clamps(draw: st.DrawFn, integer: bool) -> tuple[float, float]:
    if not integer:
        return draw(st.sampled_from([(-math.inf, math.inf), (0.0, math.inf), (0.0, 6.0)]))
    return draw(st.sampled_from([(-128, 127), (0, 127), (-128, 50), (-20, 20)]))


@st.composite
def _integer_outputs(draw: st.DrawFn, conv: Conv, source: Value) -> Output:
    out = conv.weights.shape[0]
    bound = max(largest_accumulator(conv, source), 1)
    bits = draw(st.integers(2, max(2, min(16, 60 - bound.bit_length()))))
    multiplier = draw(positional((out,), st.just(bits), most_shift=0))
    # a polynomial over many filters may grow past int32, its differences before it
    largest = 2 * float((np.abs(multiplier.axes[0].matrix) @ np.abs(multiplier.effective)).max())
    if largest * bound > 2.0**61 or largest >= 2.0**31:
        multiplier = constant(1, out, bits)
    largest = max(int(np.abs(multiplier.expand()).max()), 1)
    shift = max((bound * largest).bit_length() - draw(st.integers(7, 14)), 0)
    return Output(multiplier, min(shift, 61), draw(st.integers(-128, 127)), *draw(_clamps(True)))


@st.composite
def _float_outputs(draw: st.DrawFn, out: int) -> Output:
    scales = draw(generators()).uniform(0.1, 2.0, out).astype(np.float32)
    return Output(Positional((Axis(out),), scales, FLOAT_BITS), 0, 0, *draw(_clamps(False)))


def _multipliers(draw: st.DrawFn, shift: int, number: int) -> tuple[int, ...]:
    most = min(2 << shift, 2**31 - 1)
    return tuple(draw(st.integers(-most // 4, most)) for _ in range(number))


@st.composite
def _layers(draw: st.DrawFn, values: Sequence[Value], integer: bool) -> Layer:
    number = draw(st.sampled_from([len(values) - 1] * 3 + list(range(len(values)))))
    value = values[number]
    kind = draw(st.sampled_from(["conv", "conv", "max", "average", "adaptive", "add", "concat", "flatten"]))
    if kind == "conv":
        return draw(convs(value, number, integer))
    if kind in ("add", "concat"):
        part = slice(0 if kind == "add" else 1, None)  # a sum needs equal shapes, a concatenation equal maps
        same = [i for i, other in enumerate(values) if other.shape[part] == value.shape[part]]
        inputs = draw(st.lists(st.sampled_from(same), min_size=1, max_size=3))
        return draw((adds if kind == "add" else concats)(inputs, integer))
    if kind == "flatten":
        return Flatten(number)
    return draw({"max": max_pools, "average": average_pools, "adaptive": adaptive_pools}[kind](value, number))
