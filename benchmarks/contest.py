"""One workload's contest: the peers on the dense network, Horner on it dense and under plans, timed together."""

from __future__ import annotations

import ctypes
import functools
import gc
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.machine import Peaks
from benchmarks.timing import Timing, interleave
from benchmarks.workloads import DENSE, Arithmetic, Workload
from horner.backends import c
from horner.program.account import account
from horner.program.layers import Conv, Value
from horner.program.program import Program
from horner.program.schedule import Schedule, core, count, possible
from horner.program.weights import Ranked

HORNER = "Horner"
ARITHMETICS: tuple[Arithmetic, ...] = ("int8", "float32")
OPERAND_BYTES = {"int8": 1, "int16": 2, "float32": 4}


@dataclass(frozen=True)
class Row:
    """How long one contestant takes for one workload.

    Parameters
    ----------
    plan
        Of Horner's rows; peers run the dense network.
    ratio
        Dense weights / stored coefficients.
    call, bare
        The call that a user makes, from array to array, and the engine alone inside it, where it can be called.
    floor
        Horner's rows: microseconds that no schedule can beat on this machine.
    """

    workload: str
    name: str
    arithmetic: Arithmetic
    plan: str
    ratio: float
    call: Timing
    bare: Timing | None = None
    floor: float | None = None

    def timing(self, bare: bool = False) -> Timing | None:
        """Return the timing of the user's call, or of the engine alone."""
        return self.bare if bare else self.call

    @property
    def only(self) -> str:
        """What `--only` takes to run this row and those it is compared with again."""
        return self.workload if self.plan in ("", DENSE) else f"{self.workload}/{self.plan}"


def run(workload: Workload, plans: Sequence[str], runs: int, peaks: Peaks) -> list[Row]:
    """Time every peer, and Horner dense and under the plans named, in both arithmetics."""
    rivals = list(peers.make(workload))
    programs = [
        (plan, arithmetic, workload.program(plan, arithmetic)) for plan in (DENSE, *plans) for arithmetic in ARITHMETICS
    ]
    compiled = [c.compile(program) for _, _, program in programs]
    inputs = [np.ascontiguousarray(program.quantise(workload.images())) for _, _, program in programs]
    entries = [(rival.call, rival.bare) for rival in rivals] + [
        (functools.partial(network, image), bare(network, image))
        for network, image in zip(compiled, inputs, strict=True)
    ]
    calls = [call for pair in entries for call in pair if call is not None]
    measured = iter(interleave(calls, runs))
    timings = [(next(measured), next(measured) if alone else None) for _, alone in entries]
    rows = [
        Row(workload.name, rival.name, rival.arithmetic, "", 1.0, *pair)
        for rival, pair in zip(rivals, timings[: len(rivals)], strict=True)
    ]
    for (plan, arithmetic, program), pair in zip(programs, timings[len(rivals) :], strict=True):
        ratio, least = account(program).coefficient_ratio, 1e6 * floor(program, peaks)
        rows.append(Row(workload.name, HORNER, arithmetic, plan, ratio, *pair, least))
    del rivals, compiled, entries, calls
    gc.collect()
    return rows


def bare(network: c.Compiled, image: np.ndarray) -> Callable[[], Any]:
    """Return a call of the compiled C on one image, buffers prepared."""
    output = np.empty((1, *network.program.output.shape), image.dtype)
    function = getattr(ctypes.CDLL(str(network.library)), f"{network.source.name}_run_batch")
    function.restype = None
    arguments = ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(output.ctypes.data), ctypes.c_uint32(1)

    def call(keep: tuple[np.ndarray, np.ndarray] = (image, output)) -> None:
        function(*arguments)

    return call


def floor(program: Program, peaks: Peaks) -> float:
    """Return the least seconds of a program's convolutions on one core, each by the schedule with the lowest floor."""
    total = 0.0
    for number, layer in enumerate(program.layers):
        if isinstance(layer, Conv):
            source, result = program.values[layer.source], program.values[number + 1]
            total += min(_floors(layer, source, result, program.integer, peaks))
    return total


def _floors(conv: Conv, source: Value, result: Value, integer: bool, peaks: Peaks) -> Iterator[float]:
    """Operations over the peak of their operands' width, or bytes over the bandwidth of where they fit."""
    for schedule in possible(conv):
        counts = count(conv, source, result, schedule)
        # a product with its addition is one operation; additions of gathering and spreading are one each
        operations = counts.multiplications + max(0, counts.additions - counts.multiplications)
        kind = _operands(conv, schedule) if integer else "float32"
        size = OPERAND_BYTES[kind] * core(conv, schedule).size + (source.size + result.size) * (1 if integer else 4)
        yield peaks.seconds(operations, kind, size)


def _operands(conv: Conv, schedule: Schedule) -> str:
    """The narrowest operands that hold an integer schedule's factors; gathered sums need 16 bits, at least."""
    matrix = core(conv, schedule)
    gathers = bool(schedule.reused - {"out"}) or (isinstance(conv.weights, Ranked) and schedule.by_level)
    fits = matrix.min() >= -128 and matrix.max() <= 127
    return "int8" if fits and not gathers else "int16"


def fastest(rows: Sequence[Row], arithmetic: Arithmetic | None = None, bare: bool = False) -> Row | None:
    """Return the peer with the smallest median, by the user's call or the engine alone."""
    rivals = [row for row in rows if row.name != HORNER and arithmetic in (None, row.arithmetic)]
    return min((row for row in rivals if row.timing(bare)), key=lambda row: row.timing(bare).median, default=None)


def ours(rows: Sequence[Row], plan: str, arithmetic: Arithmetic) -> Row | None:
    """Return Horner's row of a plan."""
    return next((r for r in rows if r.name == HORNER and (r.plan, r.arithmetic) == (plan, arithmetic)), None)


def speedup(row: Row | None, other: Row | None, bare: bool = False) -> float:
    """Return how many times faster `row` is than `other`; not a number where one is missing."""
    mine, theirs = (r and r.timing(bare) for r in (row, other))
    return theirs.median / mine.median if mine and theirs else math.nan
