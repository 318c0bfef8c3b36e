"""What Horner's C set out to reach on a host, each a ratio of two medians of one run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contest import ARITHMETICS, HORNER, Row, fastest, ours, speedup
from benchmarks.workloads import DENSE, Arithmetic

Results = Mapping[str, Sequence[Row]]

LAYER = "conv-256-384-13"
EQUAL = 0.95
"""Layers within five percent count as equally fast: the same code, timed twice, differs by as much."""


@dataclass(frozen=True)
class Target:
    """A ratio wanted, and the one measured; `rows` says whose."""

    text: str
    wanted: float
    measured: float
    rows: str
    command: str

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.measured >= self.wanted


def evaluate(results: Results) -> list[Target]:
    """Return every target whose rows were measured."""
    found = [
        _against(
            results,
            "lenet5",
            "demo",
            ("int8",),
            fastest,
            5,
            "LeNet-5, plan of the demonstration, against the fastest peer",
        ),
        _against(
            results, "lenet5", "demo", ("int8",), _dense, 2, "LeNet-5, plan of the demonstration, against Horner dense"
        ),
        _against(
            results,
            LAYER,
            "afsc4-afmc4",
            ("float32",),
            _float_peer,
            3,
            "256->384 3x3 on 13x13, AFSC4 + AFMC4 in float32, against the fastest float32 peer",
        ),
        _against(
            results,
            LAYER,
            "afsc4-afmc4",
            ("int8",),
            _int_peer,
            1.5,
            "256->384 3x3 on 13x13, AFSC4 + AFMC4 in int8, against the fastest int8 peer",
        ),
        _against(
            results,
            LAYER,
            "out8",
            ("int8",),
            _int_peer,
            2.5,
            "256->384 3x3 on 13x13, out=linear/8 in int8, against the fastest int8 peer",
        ),
        _against(
            results,
            "vgg16",
            "paper",
            ARITHMETICS,
            _float_peer,
            20,
            "VGG16 at the paper's ratio, Horner's faster arithmetic, against the fastest float32 peer",
        ),
        _worst_layer(results),
    ]
    return [target for target in found if target is not None]


def _against(
    results: Results,
    workload: str,
    plan: str,
    arithmetics: Sequence[Arithmetic],
    rival: Callable[[Sequence[Row]], Row | None],
    wanted: float,
    text: str,
) -> Target | None:
    rows = results.get(workload, ())
    best = min(filter(None, (ours(rows, plan, a) for a in arithmetics)), key=lambda r: r.call.median, default=None)
    other = rival(rows)
    if best is None or other is None:
        return None
    who = f"{best.call.median:,.1f} µs ({best.arithmetic}) against {other.call.median:,.1f} µs ({describe(other)})"
    return Target(text, wanted, speedup(best, other), who, best.only)


def _worst_layer(results: Results) -> Target | None:
    """No layer of any plan slower than the same layer dense in Horner."""
    worst, where = math.inf, None
    for rows in results.values():
        for row in rows:
            if row.name == HORNER and row.plan != DENSE and (row.workload in _layers()):
                ratio = speedup(row, ours(rows, DENSE, row.arithmetic))
                if ratio < worst:
                    worst, where = ratio, row
    if where is None:
        return None
    text = "No layer of any plan slower than the same layer dense in Horner (the slowest of them)"
    return Target(text, EQUAL, worst, f"{where.only} in {where.arithmetic}", where.only)


def describe(row: Row) -> str:
    """Name a contestant in words."""
    return f"{row.name} {row.arithmetic}" + (f" {row.plan}" if row.plan else "")


def _layers() -> frozenset[str]:
    from benchmarks.workloads import catalogue

    return frozenset(name for name, workload in catalogue().items() if workload.kind == "layer")


def _dense(rows: Sequence[Row]) -> Row | None:
    return ours(rows, DENSE, "int8")


def _float_peer(rows: Sequence[Row]) -> Row | None:
    return fastest(rows, "float32")


def _int_peer(rows: Sequence[Row]) -> Row | None:
    return fastest(rows, "int8")
