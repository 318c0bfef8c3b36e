"""The time below which no schedule of a program's layers can come on a machine of known peaks."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.machine import Peaks
from horner.program.layers import Conv, Value
from horner.program.program import Program
from horner.program.schedule import Schedule, core, count, possible
from horner.program.weights import Ranked

OPERAND_BYTES = {"int8": 1, "int16": 2, "float32": 4}


@dataclass(frozen=True)
class Demand:
    """What a schedule of a layer asks of a machine.

    Parameters
    ----------
    kind
        The narrowest operands that hold its factors: int8, int16 or float32.
    operations
        Multiplications with the addition of their product, and all other additions.
    bytes
        Of its coefficients and its activations.
    """

    kind: str
    operations: int
    bytes: int

    def seconds(self, peaks: Peaks) -> float:
        """Return the least time: of the operations at their peak, or of the bytes at their bandwidth."""
        kinds = [self.kind, "int16", "float32"]
        peak = next(peaks.macs[kind] for kind in kinds if kind in peaks.macs)
        level = next(level for level in peaks.memory if level.size is None or self.bytes <= level.size)
        return max(self.operations / peak, self.bytes / level.bandwidth) / 1e9


Demands = list[list[Demand]]
"""Of every layer with weights, every schedule's."""


def demands(program: Program) -> Demands:
    """Return what every schedule of every layer with weights asks for."""
    return [
        [
            _demand(layer, program.values[layer.source], program.values[number + 1], program.integer, schedule)
            for schedule in possible(layer)
        ]
        for number, layer in enumerate(program.layers)
        if isinstance(layer, Conv)
    ]


def floor(of_layers: Demands, peaks: Peaks) -> float:
    """Return the least seconds: of every layer, the schedule that could be fastest."""
    return sum(min(demand.seconds(peaks) for demand in schedules) for schedules in of_layers)


def _demand(conv: Conv, source: Value, result: Value, integer: bool, schedule: Schedule) -> Demand:
    counts, matrix = count(conv, source, result, schedule), core(conv, schedule)
    operations = counts.multiplications + max(0, counts.additions - counts.multiplications)
    kind = "float32"
    if integer:  # gathered sums are wider than what is gathered
        gathers = bool(schedule.reused - {"out"}) or (isinstance(conv.weights, Ranked) and schedule.by_level)
        kind = "int8" if not gathers and matrix.min() >= -128 and matrix.max() <= 127 else "int16"
    size = OPERAND_BYTES[kind] * matrix.size + (source.size + result.size) * (1 if integer else 4)
    return Demand(kind, operations, size)
