"""Worst-case magnitudes, from which accumulator widths follow: derived, never guessed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from horner.basis import Axis
from horner.errors import ProgramError
from horner.program.integer import INT8_HIGH, INT8_LOW, INT32_HIGH, INT64_HIGH
from horner.program.layers import Add, Concat, Conv, Value
from horner.program.schedule import AXES, IN, OUT, Schedule
from horner.program.weights import FLOAT_BITS, Positional, Ranked

if TYPE_CHECKING:
    from horner.program.program import Program

LARGEST_LAYER = 1 << 31
"""Weights a layer may expand to."""

EXACT_DOUBLE = 2**53
"""Integers below this magnitude are exact in float64."""


@dataclass
class _Peak:
    value: float = 0.0


@dataclass
class _Magnitude:
    """A number known only by the largest magnitude it can have; remembers the largest of all intermediates."""

    size: float
    peak: _Peak = field(default_factory=_Peak)

    def __post_init__(self) -> None:
        self.peak.value = max(self.peak.value, self.size)

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
        totals = totals + np.abs(conv.bias.expand())
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
    for number, layer in enumerate(program.layers):
        name = f"layer {number} ({type(layer).__name__})"
        sources = [program.values[i] for i in layer.inputs]
        if isinstance(layer, Conv):
            if math.prod(layer.weights.shape) > LARGEST_LAYER:
                raise ProgramError(f"{name}: weights of shape {layer.weights.shape} are too large to expand")
            if (layer.weights.bits != FLOAT_BITS) != program.integer:
                raise ProgramError(f"{name}: {layer.weights.bits}-bit weights in a {program.input.arithmetic} program")
            if program.integer:
                _check_integers(name, layer.output.shift, layer.output.zero_point, layer.output.low, layer.output.high)
                _check_product(
                    name,
                    accumulator(layer, sources[0], _everything(layer)),
                    _largest(layer.output.multiplier),
                    layer.output.shift,
                )
        elif isinstance(layer, Add | Concat) and program.integer:
            low, high = (layer.low, layer.high) if isinstance(layer, Add) else (INT8_LOW, INT8_HIGH)
            _check_integers(name, layer.shift, layer.zero_point, low, high)
            largest = max(abs(multiplier) for multiplier in layer.multipliers)
            if largest > INT32_HIGH:
                raise ProgramError(f"{name}: multiplier {largest} is wider than int32")
            _check_product(name, 255 * len(sources), largest, layer.shift)
    if program.integer and not INT8_LOW <= program.input.zero_point <= INT8_HIGH:
        raise ProgramError(f"the input's zero point {program.input.zero_point} is not int8")


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
    of_size = {
        size: [m.size for m in Axis(size, degree=axis.degree, nodes=axis.nodes).gather([_Magnitude(1.0, peak)] * size)]
        for size in {size for _, size in axis.pieces}
    }
    return np.array([size for _, length in axis.pieces for size in of_size[length]]), peak.value


def _spread_sizes(axis: Axis, sizes: np.ndarray) -> tuple[np.ndarray, float]:
    """What a spread of coefficients of the given magnitudes can reach, and its largest intermediate."""
    peak = _Peak()
    return np.array([m.size for m in axis.spread([_Magnitude(size, peak) for size in sizes.tolist()])]), peak.value


def _largest(vector: Positional) -> float:
    return _spread_sizes(vector.axes[0], np.abs(vector.effective).astype(float))[1]


def _everything(conv: Conv) -> Schedule:
    """Every sum reused, possible or not: its bound needs no expanded weights and covers every schedule's."""
    if isinstance(conv.weights, Ranked):
        return Schedule(by_level=True)
    return Schedule(frozenset(name for name, axis in zip(AXES, conv.weights.axes, strict=True) if not axis.dense))


def _check_integers(name: str, shift: int, zero_point: int, low: float, high: float) -> None:
    if not 0 <= shift <= 62:
        raise ProgramError(f"{name}: a shift of {shift}; 0 to 62 are possible")
    if not INT8_LOW <= zero_point <= INT8_HIGH:
        raise ProgramError(f"{name}: zero point {zero_point} is not int8")
    if not INT8_LOW <= low <= high <= INT8_HIGH:
        raise ProgramError(f"{name}: the clamp {low}..{high} is not a range of int8")


def _check_product(name: str, reach: float, multiplier: float, shift: int) -> None:
    if multiplier > INT32_HIGH:
        raise ProgramError(f"{name}: multipliers up to {multiplier:.0f} are wider than int32")
    if reach * multiplier + 2.0 ** max(shift - 1, 0) > INT64_HIGH * (1 - 1e-6):
        raise ProgramError(
            f"{name}: sums up to {reach:.0f} times {multiplier:.0f} overflow int64; store fewer bits or shifts"
        )
