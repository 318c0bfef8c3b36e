"""The golden backend: NumPy, exact, by reusing sums or by dense expansion."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Literal

import numpy as np

from horner.basis import gather, spread
from horner.program.bounds import EXACT_DOUBLE, EXACT_SINGLE, accumulator
from horner.program.integer import requantise, round_divide, round_shift, saturate
from horner.program.layers import (
    AdaptiveAveragePool,
    Add,
    AveragePool,
    Concat,
    Conv,
    Flatten,
    MaxPool,
    Pair,
    Value,
)
from horner.program.program import Program
from horner.program.schedule import COL, DENSE, IN, OUT, ROW, Schedule, core, plan
from horner.program.weights import Positional, Ranked

Method = Literal["reuse", "dense"]


def run(program: Program, images: np.ndarray, method: Method = "reuse", batch: int = 250) -> np.ndarray:
    """Run a program on images.

    Parameters
    ----------
    images
        As `Program.quantise` takes them: uint8 pixels, int8 activations or floats, ``(n, c, h, w)`` or one image.
    method
        `reuse`: gather, core, spread, by each layer's schedule. `dense`: the expanded weights. For integer
        programs both give the same outputs, bit for bit.
    batch
        Images worked on at a time.

    Returns
    -------
    numpy.ndarray
        int8 (or float32) ``(n, channels)``, or ``(n, channels, rows, columns)`` where the output is a map.
    """
    inputs = program.quantise(images)
    parts = [_run_batch(program, inputs[i : i + batch], method) for i in range(0, len(inputs), batch)]
    if not parts:
        kind = np.int8 if program.integer else np.float32
        parts = [np.empty((0, *program.output.shape), kind)]
    outputs = np.concatenate(parts)
    return outputs[:, :, 0, 0] if program.output.shape[1:] == (1, 1) else outputs


def trace(program: Program, images: np.ndarray, method: Method = "reuse") -> Iterator[np.ndarray]:
    """Yield every layer's output in turn, ``(n, c, h, w)``."""
    values = [program.quantise(images)]
    for layer in program.layers:
        sources = [program.values[i] for i in layer.inputs]
        values.append(_run_layer(layer, [values[i] for i in layer.inputs], sources, method))
        yield values[-1]


def accumulate(conv: Conv, inputs: np.ndarray, source: Value, result: Value, schedule: Schedule) -> np.ndarray:
    """Return a convolution's accumulators, bias included, before they become activations.

    Parameters
    ----------
    inputs
        ``(n, c, h, w)`` with the zero point already subtracted: integers or floats. Anything that adds, multiplies,
        slices and stacks like an array will do.
    schedule
        Which sums to reuse; the result is the same for all.
    """
    matrix = core(conv, schedule)
    if isinstance(conv.weights, Ranked) and schedule.by_level:
        sums = _by_level(conv, inputs, matrix, result)
    else:
        sums = _by_position(conv, inputs, matrix, result, schedule)
    if conv.bias is not None:
        sums = sums + conv.bias.expand()[:, None, None]
    return sums


def _run_batch(program: Program, inputs: np.ndarray, method: Method) -> np.ndarray:
    last_use = {i: number for number, layer in enumerate(program.layers) for i in layer.inputs}
    values = {0: inputs}
    for number, layer in enumerate(program.layers):
        sources = [program.values[i] for i in layer.inputs]
        values[number + 1] = _run_layer(layer, [values[i] for i in layer.inputs], sources, method)
        for i in [i for i in values if last_use.get(i, len(program.layers)) == number]:
            del values[i]
    return values[len(program.layers)]


@functools.singledispatch
def _run_layer(layer: object, inputs: list[np.ndarray], sources: list[Value], method: Method) -> np.ndarray:
    raise TypeError(f"no way to run {type(layer).__name__}")


@_run_layer.register
def _(layer: Conv, inputs: list[np.ndarray], sources: list[Value], method: Method) -> np.ndarray:
    result = layer.infer(sources)
    schedule = DENSE if method == "dense" else plan(layer, sources[0], result)
    multiplier = layer.output.multiplier.expand()[:, None, None]
    if inputs[0].dtype == np.float32:
        sums = accumulate(layer, inputs[0], sources[0], result, schedule)
        return np.clip(sums * multiplier, layer.output.low, layer.output.high).astype(np.float32)
    exact = accumulator(layer, sources[0], schedule) < EXACT_DOUBLE
    centred = inputs[0].astype(np.float64 if exact else np.int64) - sources[0].zero_point
    sums = accumulate(layer, centred, sources[0], result, schedule)
    out = layer.output
    return requantise(sums, multiplier, out.shift, out.zero_point, int(out.low), int(out.high))


@_run_layer.register
def _(layer: MaxPool, inputs: list[np.ndarray], sources: list[Value], method: Method) -> np.ndarray:
    _, *size = layer.infer(sources).shape
    lowest = -128 if inputs[0].dtype == np.int8 else -np.inf
    padded = _pad(inputs[0], layer.padding, lowest, _reach(size, layer.kernel, layer.stride, layer.dilation))
    return _windows(padded, layer.kernel, layer.stride, layer.dilation, (size[0], size[1])).max((2, 4))


@_run_layer.register(AveragePool)
@_run_layer.register(AdaptiveAveragePool)
def _(
    layer: AveragePool | AdaptiveAveragePool, inputs: list[np.ndarray], sources: list[Value], method: Method
) -> np.ndarray:
    rows, columns = layer.windows(sources[0].shape[1:])
    integer = inputs[0].dtype == np.int8
    zero = sources[0].zero_point
    centred = inputs[0].astype(np.int64) - zero if integer else inputs[0]
    summed = np.stack([centred[:, :, start:stop].sum(2) for start, stop, _ in rows], 2)
    summed = np.stack([summed[..., start:stop].sum(3) for start, stop, _ in columns], 3)
    counts = np.outer([count for *_, count in rows], [count for *_, count in columns])
    if not integer:
        return (summed / counts).astype(np.float32)
    return saturate(round_divide(summed, counts) + zero)


@_run_layer.register
def _(layer: Add, inputs: list[np.ndarray], sources: list[Value], method: Method) -> np.ndarray:
    if inputs[0].dtype == np.float32:
        return np.clip(sum(inputs[1:], inputs[0]), layer.low, layer.high)
    total = np.zeros(inputs[0].shape, np.int64)
    for activation, source, multiplier in zip(inputs, sources, layer.multipliers, strict=True):
        total += (activation.astype(np.int64) - source.zero_point) * multiplier
    return saturate(round_shift(total, layer.shift) + layer.zero_point, int(layer.low), int(layer.high))


@_run_layer.register
def _(layer: Concat, inputs: list[np.ndarray], sources: list[Value], method: Method) -> np.ndarray:
    if inputs[0].dtype == np.float32:
        return np.concatenate(inputs, 1)
    parts = [
        requantise(
            activation.astype(np.int64) - source.zero_point, multiplier, layer.shift, layer.zero_point, -128, 127
        )
        for activation, source, multiplier in zip(inputs, sources, layer.multipliers, strict=True)
    ]
    return np.concatenate(parts, 1)


@_run_layer.register
def _(layer: Flatten, inputs: list[np.ndarray], sources: list[Value], method: Method) -> np.ndarray:
    return inputs[0].reshape(len(inputs[0]), -1, 1, 1)


def _by_position(conv: Conv, inputs: np.ndarray, matrix: np.ndarray, result: Value, schedule: Schedule) -> np.ndarray:
    """Gather (or take as they are) channels, rows and columns; multiply by the core; spread."""
    n, channels, height, width = inputs.shape
    _, out_height, out_width = result.shape
    axes = conv.weights.axes if isinstance(conv.weights, Positional) else ()
    # dimensions: n, group, channel, row, column
    x = inputs.reshape(n, conv.groups, channels // conv.groups, height, width)
    if "in" in schedule.reused:
        x = gather(x, axes[IN], 2)
    x = _taps(x, 3, conv.weights.shape[ROW], out_height, conv.stride[0], conv.padding[0], conv.dilation[0])
    if "row" in schedule.reused:
        x = gather(x, axes[ROW], 3)
    x = _taps(x, 5, conv.weights.shape[COL], out_width, conv.stride[1], conv.padding[1], conv.dilation[1])
    if "col" in schedule.reused:
        x = gather(x, axes[COL], 5)
    # n, group, channel, row tap, output row, column tap, output column -> taps against positions
    terms = matrix[0].size
    x = x.transpose(0, 1, 2, 3, 5, 4, 6).reshape(n, conv.groups, terms, out_height * out_width)
    filters = matrix.reshape(conv.groups, -1, terms).astype(x.dtype)
    sums = _product(filters, x).reshape(n, -1, out_height, out_width)
    return spread(sums, axes[OUT], 1) if "out" in schedule.reused else sums


def _by_level(conv: Conv, inputs: np.ndarray, matrix: np.ndarray, result: Value) -> np.ndarray:
    """Sum the inputs of every level of every filter, gather over the levels, multiply by the curve's coefficients."""
    weights = conv.weights
    assert isinstance(weights, Ranked)
    n, filters = len(inputs), weights.shape[OUT]
    _, out_height, out_width = result.shape
    codes = range(int(weights.zero), 1 << weights.level_bits)
    terms = weights.levels[0].size
    most = terms * len(codes) ** matrix.shape[1]  # inputs in a sum, gathered over the codes
    exact = weights.curve.nodes == "index" and _exact_single(inputs, most)
    x = inputs.astype(np.float32) if exact else inputs
    x = _taps(x, 2, weights.shape[ROW], out_height, conv.stride[0], conv.padding[0], conv.dilation[0])
    x = _taps(x, 4, weights.shape[COL], out_width, conv.stride[1], conv.padding[1], conv.dilation[1])
    # n, group, channel, row tap, output row, column tap, output column -> taps against positions
    x = x.reshape(n, conv.groups, -1, *x.shape[2:]).transpose(0, 1, 2, 3, 5, 4, 6)
    x = x.reshape(n, conv.groups, terms, out_height * out_width)
    levels = weights.levels.reshape(conv.groups, -1, terms)
    gathered = weights.curve.gather([_chosen(levels == code, x) for code in codes])
    if exact:
        gathered = [value.astype(np.float64) for value in gathered]
    curves = np.broadcast_to(matrix, (filters, matrix.shape[1])).reshape(conv.groups, -1, matrix.shape[1], 1)
    products = [value * curves[:, :, order] for order, value in enumerate(gathered)]
    return functools.reduce(lambda a, b: a + b, products).reshape(n, filters, out_height, out_width)


def _exact_single(inputs: np.ndarray, terms: int) -> bool:
    """Return whether sums of so many inputs, which are float64, are exact in float32 too: half the time."""
    if not isinstance(inputs, np.ndarray) or inputs.dtype != np.float64:
        return False
    return bool(terms * np.abs(inputs).max(initial=0) <= EXACT_SINGLE and (inputs == np.rint(inputs)).all())


def _chosen(choice: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Sum the terms chosen by each filter, ``(groups, filters, terms)``, of ``(n, groups, terms, positions)``."""
    if isinstance(x, np.ndarray):  # the fastest way to add: a product with zeros and ones
        if not choice.any():
            return np.zeros((len(x), *choice.shape[:2], x.shape[-1]), x.dtype)
        return _product(choice.astype(x.dtype), x)
    sums = []
    for group, filters in enumerate(choice):
        for terms in filters:
            parts = [x[:, group, int(i)] for i in np.flatnonzero(terms)]
            sums.append(functools.reduce(lambda a, b: a + b, parts) if parts else np.zeros_like(x[:, group, 0]))
    return np.stack(sums, 1).reshape(len(x), *choice.shape[:2], -1)


def _product(filters: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Multiply ``(groups, filters, terms)`` by ``(n, groups, terms, positions)``: `n, groups, filters, positions`."""
    if not isinstance(x, np.ndarray):
        return filters[None] @ x
    n, groups, terms, positions = x.shape
    # one product for all images: maps of few positions would read all filters again for each
    columns = x.transpose(1, 2, 0, 3).reshape(groups, terms, n * positions)
    return (filters @ columns).reshape(groups, -1, n, positions).transpose(2, 0, 1, 3)


def _taps(x: np.ndarray, at: int, kernel: int, outputs: int, stride: int, padding: int, dilation: int) -> np.ndarray:
    """Replace dimension `at` (positions of a map) by (kernel taps, output positions), zeros around."""
    widths = [(0, 0)] * x.ndim
    widths[at] = (padding, padding)
    padded = np.pad(x, widths) if padding else x
    index = np.arange(kernel)[:, None] * dilation + np.arange(outputs)[None, :] * stride
    return padded[(slice(None),) * at + (index,)]


def _windows(x: np.ndarray, kernel: Pair, stride: Pair, dilation: Pair, outputs: Pair) -> np.ndarray:
    """(n, c, kernel row, output row, kernel column, output column)."""
    x = _taps(x, 2, kernel[0], outputs[0], stride[0], 0, dilation[0])
    return _taps(x, 4, kernel[1], outputs[1], stride[1], 0, dilation[1])


def _reach(outputs: list[int], kernel: Pair, stride: Pair, dilation: Pair) -> tuple[int, int]:
    rows, columns = (
        (n - 1) * s + (k - 1) * d + 1 for n, k, s, d in zip(outputs, kernel, stride, dilation, strict=True)
    )
    return rows, columns


def _pad(x: np.ndarray, padding: Pair, value: float, reach: tuple[int, int]) -> np.ndarray:
    """Pad both sides, and the far side further where windows reach over it."""
    after = [max(r - n - p, p) for r, n, p in zip(reach, x.shape[2:], padding, strict=True)]
    widths = [(0, 0), (0, 0), (padding[0], after[0]), (padding[1], after[1])]
    return np.pad(x, widths, constant_values=value)
