"""Networks on the same array twice: dense by Row Stationary, and under plans by reuse.

Nothing depends on what the weights are, so they are random; nothing is run-length coded, as there are no images.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.markdown import grid
from benchmarks.workloads import DENSE, PAPER_RESNET20, PAPER_VGG16, Workload
from horner import account, presets
from horner.hardware import Simulation, architecture, simulate

BATCHES = (1, 16)
SINGLE_AXES = {
    "AFSC": "out=linear/4; fc1: dense",
    "AFMC": "in=linear/4; fc1: dense",
    "AWF": "col=linear; fc1: dense",
}
"""The papers' plans of one axis, for all convolutions."""

PAPERS = {"lenet5 1211x": 1211.3, "resnet20 19.3x": 19.3, "vgg16 700x": 700.0}
"""Coefficient ratios of Tolba et al. (2022), by network and plan; their plans here have no less."""

COLUMNS = {
    "processing cycles": "processing_cycles",
    "cycles": "cycles",
    "buffer, words": "buffer",
    "DRAM, bytes": "dram_bytes",
    "energy": "energy",
}
"""What the table shows, and the field of `Costs`."""


@dataclass(frozen=True)
class Costs:
    """Of a whole batch; cycles in all with what is waited for, bytes not coded, energy in multiply-accumulates."""

    macs: int
    additions: int
    processing_cycles: int
    cycles: int
    buffer: float
    dram_bytes: float
    energy: float

    @classmethod
    def of(cls, simulation: Simulation) -> Costs:
        """Take what is compared from a simulation."""
        total = simulation.to_dict()["total"]
        return cls(
            total["macs"],
            total["additions"],
            total["processing_cycles"],
            total["cycles"],
            total["accesses"]["buffer"],
            total["dram_bytes_uncoded"],
            math.fsum(total["energy"].values()),
        )


@dataclass(frozen=True)
class Row:
    """A network under a plan: the dense one by Row Stationary, and what reuse makes of the plan."""

    network: str
    plan: str
    batch: int
    coefficient_ratio: float
    row_stationary: Costs
    reuse: Costs

    def ratio(self, field: str) -> float:
        """Return Row Stationary's cost over that of reuse."""
        return getattr(self.row_stationary, field) / getattr(self.reuse, field)


@functools.cache
def catalogue() -> dict[str, Workload]:
    """Return the networks, each with its plans."""
    image = (3, 32, 32)
    plans = {
        "lenet5": {"demo": presets.get("lenet5-demo").plan, "1211x": presets.get("lenet5-1211x").plan},
        "resnet20": {"19.3x": f"{PAPER_RESNET20}block7.conv1: out=linear/8 in=linear/8 col=linear\n"},
        "vgg16": {"700x": PAPER_VGG16, **SINGLE_AXES},
        "alexnet": SINGLE_AXES,
    }
    return {
        name: Workload(name, (1, 28, 28) if name == "lenet5" else image, of_network, frozenset(of_network), name)
        for name, of_network in plans.items()
    }


def measure(network: str, plan: str, batch: int) -> Row:
    """Search the mappings of a network under a plan, and of the dense one."""
    program = catalogue()[network].program(plan, "int8")
    reuse = simulate(program, architecture.load("reuse"), batch)
    ratio = account(program).coefficient_ratio
    return Row(network, plan, batch, ratio, _dense(network, batch), Costs.of(reuse))


@functools.cache
def _dense(network: str, batch: int) -> Costs:
    program = catalogue()[network].program(DENSE, "int8")
    return Costs.of(simulate(program, architecture.load("eyeriss"), batch))


def headings() -> list[str]:
    """Return what stands above `cells`."""
    return ["", "batch", "coefficient ratio", *COLUMNS]


def cells(row: Row) -> list[str]:
    """Return a row's cells under `headings`, per image: Row Stationary over reuse, and the ratio."""
    found = [f"{row.network} {row.plan}", str(row.batch), f"{row.coefficient_ratio:,.1f}x"]
    for field in COLUMNS.values():
        dense, reuse = (short(getattr(costs, field) / row.batch) for costs in (row.row_stationary, row.reuse))
        found.append(f"{dense} / {reuse} = {row.ratio(field):.2f}x")
    return found


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the generated part of the document."""
    return grid(headings(), [cells(row) for row in rows])


def short(number: float) -> str:
    """Write a number to three digits, in thousands, millions or thousands of millions.

    >>> short(60916), short(950), short(4927734272)
    ('60.9 k', '950', '4.93 G')
    """
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            whole = number / size
            return f"{whole:.{2 if whole < 10 else 1 if whole < 100 else 0}f}{letter}"
    return f"{number:.0f}"
