"""What Horner's C set out to reach on a host: each a ratio of medians of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contest import ARITHMETICS, HORNER, Row, fastest, ours, speedup
from benchmarks.workloads import DENSE, Arithmetic, catalogue

Results = Mapping[str, Sequence[Row]]

LAYER = "conv-256-384-13"
EQUAL = 0.95
"""Layers within five percent count as equally fast: the same code, timed twice, differs by as much."""


@dataclass(frozen=True)
class Goal:
    """How many times faster Horner is to be than `rival`: the fastest peer (of an arithmetic), or Horner dense.

    With several arithmetics the faster of Horner's rows counts.
    """

    text: str
    wanted: float
    workload: str
    plan: str
    arithmetics: tuple[Arithmetic, ...]
    rival: str | None

    def find(self, rows: Sequence[Row], bare: bool) -> tuple[Row, Row] | None:
        """Return Horner's row and its rival's, by the user's call or by the engines alone."""
        mine = [row for a in self.arithmetics if (row := ours(rows, self.plan, a)) is not None]
        if not mine:
            return None
        best = min(mine, key=lambda row: speed(row, bare))
        other = ours(rows, DENSE, best.arithmetic) if self.rival == DENSE else fastest(rows, self.rival, bare)
        return (best, other) if other is not None else None


GOALS = (
    Goal("LeNet-5, demonstration's plan, against the fastest peer", 5, "lenet5", "demo", ("int8",), None),
    Goal("LeNet-5, demonstration's plan, against Horner's dense C (both alone)", 2, "lenet5", "demo", ("int8",), DENSE),
    Goal("256->384 3x3 on 13x13, AFSC4 + AFMC4, float32", 3, LAYER, "afsc4-afmc4", ("float32",), "float32"),
    Goal("256->384 3x3 on 13x13, AFSC4 + AFMC4, int8", 1.5, LAYER, "afsc4-afmc4", ("int8",), "int8"),
    Goal("256->384 3x3 on 13x13, out=linear/8, int8", 2.5, LAYER, "out8", ("int8",), "int8"),
    Goal("VGG16 at the paper's ratio, against the fastest float32 peer", 20, "vgg16", "paper", ARITHMETICS, "float32"),
)


@dataclass(frozen=True)
class Target:
    """A goal and what was measured: by the call that users make (of C against C, by the C), and by engines alone."""

    text: str
    wanted: float
    measured: float
    alone: float
    rows: str
    only: str

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.measured >= self.wanted


def evaluate(results: Results) -> list[Target]:
    """Return every target whose rows were measured."""
    found = [_measure(goal, results.get(goal.workload, ())) for goal in GOALS]
    return [target for target in (*found, _worst_layer(results)) if target is not None]


def speed(row: Row, bare: bool) -> float:
    """Return a row's median, infinite where it was not timed so."""
    timing = row.timing(bare)
    return timing.median if timing else float("inf")


def _measure(goal: Goal, rows: Sequence[Row]) -> Target | None:
    pair, alone = goal.find(rows, bare=False), goal.find(rows, bare=True)
    if pair is None or alone is None:
        return None
    mine, other = pair
    rows_said = f"{mine.call.median:,.1f} µs {mine.arithmetic}, {other.call.median:,.1f} µs {_name(other)}"
    called, engines = speedup(*pair), speedup(*alone, bare=True)
    if goal.rival == DENSE:  # C against C: what Python adds to both is not theirs
        mine, other = alone
        rows_said = f"{speed(mine, True):,.2f} µs {mine.arithmetic}, {speed(other, True):,.2f} µs {_name(other)}"
        called = engines
    return Target(goal.text, goal.wanted, called, engines, rows_said, mine.only)


def _worst_layer(results: Results) -> Target | None:
    """No layer of any plan slower than the same layer dense in Horner.

    By the C alone, for Python's part is the same, and by the least times, for noise only adds: where the planner chose
    dense, the same code is timed twice.
    """
    ratios = [
        (ours(rows, DENSE, row.arithmetic).bare.least / row.bare.least, row)  # type: ignore[union-attr]
        for name, rows in results.items()
        if catalogue()[name].kind == "layer"
        for row in rows
        if row.name == HORNER and row.plan != DENSE
    ]
    if not ratios:
        return None
    ratio, row = min(ratios, key=lambda pair: pair[0])
    slower = sum(ratio < EQUAL for ratio, _ in ratios)
    text = (
        "No layer of any plan slower than the same layer dense in Horner (C alone, least times; the slowest is shown)"
    )
    said = f"{row.only} {row.arithmetic}; {slower} of {len(ratios)} slower by more than {100 * (1 - EQUAL):.0f} %"
    return Target(text, EQUAL, ratio, ratio, said, row.only)


def _name(row: Row) -> str:
    return f"{row.name} {row.plan} {row.arithmetic}".replace("  ", " ")
