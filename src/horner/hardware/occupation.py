"""How many PEs of an array are at work, and for how long: what a mapping's passes, whole ones and remainders, imply."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from horner.hardware.cost import LayerCost
from horner.hardware.row_stationary import Mapping
from horner.hardware.shape import ConvShape

Doing = Literal["fill", "multiply", "add", "buffer", "dram"]


@dataclass(frozen=True)
class Phase:
    """Cycles of a layer in which as many PEs do the same.

    Parameters
    ----------
    doing
        `multiply`, or `add` to a partial sum what the PE below has summed; no PE works while the layer waits for its
        first pass (`fill`), for the `buffer` or for `dram`.
    cycles, pes
        How long, and how many PEs.
    """

    doing: Doing
    cycles: int
    pes: int = 0


def occupation(shape: ConvShape, cost: LayerCost, batch: int = 1) -> tuple[Phase, ...]:
    """Return the phases of a layer: its fill, its passes by how many PEs they occupy, and what it waits for.

    Their cycles are those of the layer, and PEs times cycles of `multiply` are its multiply-accumulates. An array goes
    through its passes in another order: here those which occupy as many PEs stand together, the fullest first.

    Examples
    --------
    >>> from horner.hardware import architecture
    >>> from horner.hardware.row_stationary import cost
    >>> conv1 = ConvShape(name="CONV1", filters=96, channels=3, kernel=(11, 11), size=(227, 227), stride=4)
    >>> found = cost(conv1, architecture.load("eyeriss"), Mapping(m=96, n=1, e=7, p=16, q=1, r=1, t=2))
    >>> for phase in occupation(conv1, found):  # 55 rows are 7 strips of 7 and one of 6
    ...     print(phase.doing, phase.cycles, phase.pes)
    fill 9848 0
    multiply 609840 154
    multiply 87120 132
    add 55440 154
    add 7920 132
    """
    mapping = Mapping(**cost.mapping)
    spent: Counter[tuple[Doing, int]] = Counter()
    for rows, strips in _parts(shape.outputs[0], mapping.e).items():
        for t, turns in _filter_sets(shape, mapping).items():
            for (doing, r), steps in _channel_sets(shape, mapping).items():
                pes = shape.core.kernel[0] * rows * r * t
                spent[doing, pes] += shape.groups * batch * shape.outputs[1] * strips * turns * steps
    passes = sorted(spent, key=lambda key: (key[0] == "add", -key[1]))
    cycles = cost.cycles
    phases = [Phase("fill", cycles.fill), *(Phase(doing, spent[doing, pes], pes) for doing, pes in passes)]
    for doing, needed in (("buffer", cycles.buffer), ("dram", cycles.dram)):
        if doing == cycles.binding:
            phases.append(Phase(doing, needed - cycles.processing))
    return tuple(phase for phase in phases if phase.cycles)


def _filter_sets(shape: ConvShape, mapping: Mapping) -> Counter[int]:
    """Return how often so many sets of PEs take a filter each, in all passes of a strip."""
    turns: Counter[int] = Counter()
    for kept, rounds in _parts(shape.core.filters // shape.groups, mapping.m).items():
        for filters, passes in _parts(kept, mapping.p * mapping.t).items():
            for sets, times in _parts(filters, mapping.t).items():
                turns[sets] += rounds * passes * times
    return turns


def _channel_sets(shape: ConvShape, mapping: Mapping) -> Counter[tuple[Doing, int]]:
    """Return the cycles that so many sets of PEs, each of other channels, take for a partial sum, in all its passes."""
    steps: Counter[tuple[Doing, int]] = Counter()
    for channels, passes in _parts(shape.core.channels, mapping.q * mapping.r).items():
        for sets, times in _parts(channels, mapping.r).items():
            steps["multiply", sets] += passes * times * shape.core.kernel[1]
        steps["add", min(channels, mapping.r)] += passes
    return steps


def _parts(length: int, size: int) -> dict[int, int]:
    """Return how many pieces of every size a length is cut into: whole ones and what remains.

    >>> _parts(13, 5), _parts(10, 5), _parts(3, 5)
    ({5: 2, 3: 1}, {5: 2}, {3: 1})
    """
    whole, rest = divmod(length, size)
    return {piece: times for piece, times in ((size, whole), (rest, 1)) if piece and times}
