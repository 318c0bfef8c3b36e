"""Which sums a convolution reuses, and exactly what that costs.

A convolution runs in stages: gather over `in` at every pixel, over `row` for every output row, over `col` for
every output position; multiply by the core; spread over `out`; add the bias. Any axis may instead be expanded
into weights beforehand. The planner takes the choice with the fewest multiplications and additions.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from horner.program.layers import Conv, Value
from horner.program.weights import Positional, Ranked

OUT, IN, ROW, COL = range(4)
AXES = ("out", "in", "row", "col")


@dataclass(frozen=True)
class Schedule:
    """The axes whose sums a layer reuses.

    Parameters
    ----------
    reused
        Of `out` (spread) and `in`, `row`, `col` (gathered), those not expanded into weights.
    by_level
        For ranked weights: inputs are summed by their weight's level before anything is multiplied.
    """

    reused: frozenset[str] = frozenset()
    by_level: bool = False

    @property
    def kept(self) -> tuple[int, ...]:
        """The reused axes as dimensions of the weights: 0 out, 1 in, 2 row, 3 col."""
        return tuple(i for i, name in enumerate(AXES) if name in self.reused)

    def __str__(self) -> str:
        if self.by_level:
            return "by level"
        return " ".join(name for name in AXES if name in self.reused) or "dense"


DENSE = Schedule()


@dataclass(frozen=True)
class Counts:
    """Operations of one inference.

    `multiplications` are those by weights or coefficients; `requantisations`, the multiplications that turn
    accumulators into activations, are the same for every schedule and kept apart. Zeros of the padding are
    multiplied and added like any other input, as the convolution does it.
    """

    multiplications: int = 0
    additions: int = 0
    requantisations: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.multiplications + other.multiplications,
            self.additions + other.additions,
            self.requantisations + other.requantisations,
        )


def possible(conv: Conv) -> list[Schedule]:
    """Return every schedule that gives the layer's exact accumulators, the dense one first."""
    if isinstance(conv.weights, Ranked):
        return [DENSE, Schedule(by_level=True)]
    names = [name for i, name in enumerate(AXES) if not conv.weights.axes[i].dense]
    if "out" in names and not _spreads(conv.weights, conv.groups):
        names.remove("out")
    return [Schedule(frozenset(c)) for n in range(len(names) + 1) for c in itertools.combinations(names, n)]


def count(conv: Conv, source: Value, result: Value, schedule: Schedule) -> Counts:
    """Count the operations of one inference of a convolution.

    Parameters
    ----------
    source, result
        The activation read and the one made.
    """
    out, height, width = result.shape
    positions = height * width
    bias = result.size if conv.bias is not None else 0
    if isinstance(conv.weights, Ranked) and schedule.by_level:
        multiplications, additions = _count_by_level(conv.weights)
        return Counts(multiplications * positions, additions * positions + bias, result.size)
    lengths = list(conv.weights.shape)
    additions = 0
    if schedule.reused:
        assert isinstance(conv.weights, Positional)
        axes = conv.weights.axes
        if "in" in schedule.reused:
            additions += conv.groups * source.shape[1] * source.shape[2] * axes[IN].gather_additions
            lengths[IN] = axes[IN].coefficients
        if "row" in schedule.reused:
            additions += conv.groups * lengths[IN] * height * source.shape[2] * axes[ROW].gather_additions
            lengths[ROW] = axes[ROW].coefficients
        if "col" in schedule.reused:
            additions += conv.groups * lengths[IN] * lengths[ROW] * positions * axes[COL].gather_additions
            lengths[COL] = axes[COL].coefficients
        if "out" in schedule.reused:
            additions += positions * axes[OUT].spread_additions
            lengths[OUT] = axes[OUT].coefficients
    core = lengths[OUT] * positions
    taps = math.prod(lengths[1:])
    return Counts(core * taps, additions + core * (taps - 1) + bias, out * positions)


def plan(conv: Conv, source: Value, result: Value) -> Schedule:
    """Return the schedule with the fewest multiplications and additions (then the fewest multiplications)."""

    def cost(schedule: Schedule) -> tuple[int, int, int]:
        counts = count(conv, source, result, schedule)
        return counts.multiplications + counts.additions, counts.multiplications, len(schedule.reused)

    return min(possible(conv), key=cost)


def core(conv: Conv, schedule: Schedule) -> np.ndarray:
    """Return what the inputs are multiplied by: the coefficients, expanded along the axes not reused."""
    if isinstance(conv.weights, Ranked):
        return conv.weights.effective if schedule.by_level else conv.weights.expand()
    return conv.weights.expand(keep=schedule.kept)


def _spreads(weights: Positional, groups: int) -> bool:
    """Whether every segment of filters sees the same inputs, so that one sum serves all of it."""
    segment = weights.axes[OUT].segment
    return groups == 1 or (segment is not None and (weights.shape[OUT] // groups) % segment == 0)


def _count_by_level(weights: Ranked) -> tuple[int, int]:
    """Sum inputs level by level, gather over the levels, multiply by each curve's coefficients."""
    filters, curve = weights.shape[OUT], weights.curve
    additions = filters * (curve.gather_additions + curve.coefficients - 1)
    for levels in weights.levels.reshape(filters, -1):
        used = levels[levels > 0] if weights.zero else levels
        additions += used.size - np.unique(used).size
    return filters * curve.coefficients, additions
