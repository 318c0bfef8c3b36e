"""Worst-case magnitudes, from which accumulator widths follow: derived, never guessed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from horner.basis import Axis, evaluate
from horner.errors import ProgramError
from horner.program.integer import INT8_HIGH, INT8_LOW, INT32_HIGH, INT64_HIGH
from horner.program.layers import Add, Concat, Conv, Layer, Value
from horner.program.schedule import AXES, IN, OUT, Schedule
from horner.program.weights import FLOAT_BITS, Positional, Ranked

if TYPE_CHECKING:
    from horner.program.program import Program

LARGEST_LAYER = 1 << 31
"""Weights a layer may expand to."""

MOST_FILTERS = 1 << 20
"""Filters that the layers of a program may have together."""

EXACT_DOUBLE, EXACT_SINGLE = 2**53, 2**24
"""Integers below this magnitude are exact in float64, in float32."""


@dataclass
class _Peak:
    value: float = 0.0


@dataclass
class _Magnitude:
    """A number (or an array) known only by the largest magnitude it can have; remembers the largest of all."""

    size: Any
    peak: _Peak = field(default_factory=_Peak)

    def __post_init__(self) -> None:
        self.peak.value = max(self.peak.value, float(np.max(self.size)))

    def __add__(self, other: _Magnitude) -> _Magnitude:
        return _Magnitude(self.size + other.size, self.peak)

    __sub__ = __add__

    def __lshift__(self, times: int) -> _Magnitude:
        return _Magnitude(self.size * 2.0**times, self.peak)


def largest_input(value: Value) -> int:
    """Largest magnitude of an int8 activation less its zero point, at most 255."""
    return max(INT8_HIGH - value.zero_point, value.zero_point - INT8_LOW)


def accumulator(conv: Conv, source: Value, schedule: Schedule) -> int:
    """Bound the magnitude of every sum a convolution forms under a schedule, bias included.

    The bound holds for every partial sum in whatever order the terms are added.
    """
    peak = _Peak()
    reach = float(largest_input(source))
    if isinstance(conv.weights, Ranked):
        totals = _ranked(conv.weights, reach, schedule, peak)
    else:
        totals = _positional(conv.weights, reach, schedule, peak)
    if conv.bias is not None:
        reach_of_bias, highest = _spread_sizes(conv.bias.axes[0], np.abs(conv.bias.effective).astype(float))
        totals = totals + (np.abs(conv.bias.expand()) if highest < EXACT_DOUBLE else reach_of_bias)
    # float64 sums of integers: exact below 2**53, a relative error far below 1e-9 above
    bound = max(peak.value, float(totals.max()))
    return int(bound if bound < EXACT_DOUBLE else bound * (1 + 1e-9))


def accumulator_bits(conv: Conv, source: Value, schedule: Schedule) -> int:
    """Return 32 where `accumulator` fits int32, else 64."""
    return 32 if accumulator(conv, source, schedule) <= INT32_HIGH else 64


def check(program: Program) -> None:
    """Refuse a program whose parts disagree or whose arithmetic could overflow int64.

    Raises
    ------
    ProgramError
        Naming the layer and what is wrong.
    """
    values = program.values  # raises by itself, and names the layer, where shapes disagree
    filters = sum(layer.weights.shape[0] for layer in program.layers if isinstance(layer, Conv))
    if filters > MOST_FILTERS:
        raise ProgramError(f"the layers have {filters} filters; at most {MOST_FILTERS} are possible")
    for number, layer in enumerate(program.layers):
        try:
            check_layer(layer, [values[i] for i in layer.inputs], program.integer)
        except ProgramError as error:
            raise ProgramError(f"layer {number} ({type(layer).__name__}): {error}") from None


def check_layer(layer: Layer, sources: Sequence[Value], integer: bool) -> None:
    """Refuse a layer whose arithmetic could overflow, or that is not of its program's arithmetic."""
    if isinstance(layer, Conv):
        if math.prod(layer.weights.shape) > LARGEST_LAYER:
            raise ProgramError(f"weights of shape {layer.weights.shape} are too large to expand")
        if (layer.weights.bits != FLOAT_BITS) != integer:
            raise ProgramError(f"{layer.weights.bits}-bit weights in a program of {'int8' if integer else 'float32'}")
        output = layer.output
        _check_output(integer, output.shift, output.zero_point, output.low, output.high)
        if integer:
            reach = accumulator(layer, sources[0], _everything(layer))
            _check_product(reach, _largest(output.multiplier), output.shift)
    elif isinstance(layer, Add | Concat):
        low, high = (layer.low, layer.high) if isinstance(layer, Add) else (INT8_LOW, INT8_HIGH)
        _check_output(integer, layer.shift, layer.zero_point, low, high)
        largest = max(abs(multiplier) for multiplier in layer.multipliers)
        if not integer and any(multiplier != 1 for multiplier in layer.multipliers):
            raise ProgramError(f"multipliers {layer.multipliers}; a float32 program has only 1")
        _check_product(255 * len(sources), largest, layer.shift)


def _positional(weights: Positional, reach: float, schedule: Schedule, peak: _Peak) -> np.ndarray:
    sizes = np.abs(weights.expand(keep=schedule.kept)).astype(float)
    stage = reach
    for dimension in (IN, 2, 3):
        axis = weights.axes[dimension]
        if dimension in schedule.kept:
            gathered, highest = _gather_ones(axis)
            peak.value = max(peak.value, stage * highest)
            stage *= float(gathered.max())
        else:
            gathered = np.ones(sizes.shape[dimension])
        shape = [1] * 4
        shape[dimension] = -1
        sizes = sizes * np.reshape(gathered, shape)
    totals = sizes.sum((1, 2, 3)) * reach
    if OUT in schedule.kept:
        totals, highest = _spread_sizes(weights.axes[OUT], totals)
        peak.value = max(peak.value, highest)
    return totals


def _ranked(weights: Ranked, reach: float, schedule: Schedule, peak: _Peak) -> np.ndarray:
    filters, taps = weights.shape[0], int(np.prod(weights.shape[1:]))
    if not schedule.by_level:
        return np.abs(weights.expand().reshape(filters, -1)).astype(float).sum(1) * reach
    gathered, highest = _gather_ones(weights.curve)
    peak.value = max(peak.value, taps * reach * highest)
    totals = (np.abs(weights.effective) * np.array(gathered)).sum(1) * taps * reach
    return np.broadcast_to(totals, (filters,))


def _gather_ones(axis: Axis) -> tuple[np.ndarray, float]:
    """What a gather of inputs of magnitude 1 gives, and its largest intermediate."""
    peak = _Peak(1.0)
    sums: list[float] = []
    for count, size, terms in axis.runs:
        if axis.nodes == "index":  # suffix sums of suffix sums of ones: binomials, and nothing larger on the way
            run = [float(math.comb(size, order + 1)) for order in range(terms)]
            peak.value = max(peak.value, *run)
        else:
            ones = [_Magnitude(1.0, peak)] * size
            run = [m.size for m in Axis(size, degree=axis.degree, nodes=axis.nodes).gather(ones)]
        sums += run * count
    return np.array(sums), peak.value


def _spread_sizes(axis: Axis, sizes: np.ndarray) -> tuple[np.ndarray, float]:
    """What a spread of coefficients of the given magnitudes can reach, and its largest intermediate."""
    if axis.nodes == "index":  # every difference is part of the value after it
        reached = evaluate(sizes, axis, 0)
        return reached, float(reached.max())
    peak = _Peak()
    parts, first = [], 0
    for count, size, terms in axis.runs:
        segments = sizes[first : first + count * terms].reshape(count, terms).T
        run = Axis(size, degree=axis.degree, nodes=axis.nodes).spread([_Magnitude(s, peak) for s in segments])
        parts.append(np.stack([m.size for m in run], 1).reshape(-1))
        first += count * terms
    return np.concatenate(parts), peak.value


def _largest(vector: Positional) -> float:
    return _spread_sizes(vector.axes[0], np.abs(vector.effective).astype(float))[1]


def _everything(conv: Conv) -> Schedule:
    """Every sum reused, possible or not: its bound needs no expanded weights and covers every schedule's."""
    if isinstance(conv.weights, Ranked):
        return Schedule(by_level=True)
    return Schedule(frozenset(name for name, axis in zip(AXES, conv.weights.axes, strict=True) if not axis.dense))


def _check_output(integer: bool, shift: int, zero_point: int, low: float, high: float) -> None:
    if not 0 <= shift <= 62:
        raise ProgramError(f"a shift of {shift}; 0 to 62 are possible")
    if not INT8_LOW <= zero_point <= INT8_HIGH:
        raise ProgramError(f"zero point {zero_point} is not int8")
    if integer and not INT8_LOW <= low <= high <= INT8_HIGH:
        raise ProgramError(f"the clamp {low}..{high} is not a range of int8")
    if not integer and (shift or zero_point):
        raise ProgramError(f"shift {shift} and zero point {zero_point}; a float32 program has neither")
    if not low <= high:
        raise ProgramError(f"the clamp {low}..{high} is empty")


def _check_product(reach: float, multiplier: float, shift: int) -> None:
    if multiplier > INT32_HIGH:
        raise ProgramError(f"multipliers up to {multiplier:.0f} are wider than int32")
    # sums must fit by themselves, too: a multiplier of zero would let anything pass
    if reach * max(multiplier, 1) + 2.0 ** max(shift - 1, 0) > INT64_HIGH * (1 - 1e-6):
        raise ProgramError(f"sums up to {reach:.0f} times {multiplier:.0f} overflow int64; store fewer bits or shifts")
