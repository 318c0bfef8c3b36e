"""One workload's contest: the peers on the dense network, Horner on it dense and under plans, timed together."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.floors import Demands, demands, floor
from benchmarks.machine import Peaks
from benchmarks.timing import Timing, interleave
from benchmarks.workloads import DENSE, Arithmetic, Workload
from horner.backends import c, reference
from horner.errors import HornerError
from horner.program.account import account
from horner.program.program import Program

HORNER = "Horner"
ARITHMETICS: tuple[Arithmetic, ...] = ("int8", "float32")


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


@dataclass(frozen=True)
class Contest:
    """A workload's rows, and what the programs of Horner's rows ask of the machine."""

    rows: tuple[Row, ...]
    demands: tuple[Demands | None, ...]

    def floored(self, peaks: Peaks) -> list[Row]:
        """Return the rows with their floors at the peaks of the machine."""
        return [
            row if of_layers is None else dataclasses.replace(row, floor=1e6 * floor(of_layers, peaks))
            for row, of_layers in zip(self.rows, self.demands, strict=True)
        ]


def run(workload: Workload, plans: Sequence[str], runs: int) -> Contest:
    """Time every peer, and Horner dense and under the plans named, in both arithmetics."""
    rivals = list(peers.make(workload))
    forms = [(plan, arithmetic) for plan in (DENSE, *plans) for arithmetic in ARITHMETICS]
    programs = [workload.program(plan, arithmetic) for plan, arithmetic in forms]
    calls = [(rival.call, rival.bare) for rival in rivals] + [
        _calls(program, workload.images()) for program in programs
    ]
    measured = iter(interleave([call for pair in calls for call in pair if call is not None], runs))
    timings = [(next(measured), next(measured) if alone else None) for _, alone in calls]
    rows = [
        Row(workload.name, rival.name, rival.arithmetic, "", 1.0, *pair)
        for rival, pair in zip(rivals, timings[: len(rivals)], strict=True)
    ]
    rows += [
        Row(workload.name, HORNER, arithmetic, plan, account(program).coefficient_ratio, *pair)
        for (plan, arithmetic), program, pair in zip(forms, programs, timings[len(rivals) :], strict=True)
    ]
    return Contest(tuple(rows), (*([None] * len(rivals)), *map(demands, programs)))


def _calls(program: Program, images: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the call that users make, and that of the compiled C alone, once what it gives is known to be right.

    Raises
    ------
    HornerError
        When the compiled C gives other outputs than the reference.
    """
    network, inputs = c.compile(program), np.ascontiguousarray(program.quantise(images))
    expected = reference.run(program, inputs)
    tolerance = 0 if program.integer else 1e-3 * float(np.abs(expected).max())
    if not np.allclose(network(inputs).astype(float), expected.astype(float), rtol=0, atol=tolerance):
        raise HornerError("the compiled C gives other outputs than the reference; please report this")
    outputs = np.empty((1, *program.output.shape), inputs.dtype)
    return functools.partial(network, inputs), network.bind(inputs, outputs)


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
