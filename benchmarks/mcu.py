"""Flash, RAM and instructions on chips, beside the same networks dense: ``python -m benchmarks.mcu --help``.

Instructions are counted by an emulator; they are not cycles.
"""

from __future__ import annotations

import dataclasses
import datetime
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from benchmarks.markdown import grid, insert
from benchmarks.workloads import DENSE, catalogue
from horner import data
from horner._files import write_atomic
from horner.backends.c.compiler import find_compiler
from horner.backends.c.firmware import footprint_of, simulate
from horner.backends.c.firmware.image import EMULATED
from horner.backends.c.targets import target
from horner.program.file import load
from horner.program.program import Program

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "mcu.json"
DOCUMENT = ROOT / "docs" / "microcontrollers.md"
TRAINED = ROOT / "tests" / "data" / "lenet5.horner"
COMMAND = "python -m benchmarks.mcu"
NETWORKS = {"lenet5": "demo", "resnet20": "paper"}
"""The networks, and the plan of each."""

HEADINGS = ("network", "chip", "", "flash", "RAM", "arena", "stack", "instructions", "x flash", "x instructions")


@dataclass(frozen=True)
class Row:
    """One network in one form on one chip; bytes, and instructions of one image."""

    network: str
    plan: str
    chip: str
    optimise: str
    code: int
    constants: int
    arena: int
    stack: int
    stack_touched: int
    instructions: int

    @property
    def flash(self) -> int:
        """Code and constants."""
        return self.code + self.constants

    @property
    def ram(self) -> int:
        """Arena and stack."""
        return self.arena + self.stack


@dataclass(frozen=True)
class Goal:
    """A bound on a number; `least` says that it is a lower one."""

    text: str
    wanted: float
    measured: float
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether the number keeps the bound."""
        return self.measured >= self.wanted if self.least else self.measured <= self.wanted


@dataclass(frozen=True)
class Report:
    """Everything that a run found."""

    date: str
    compiler: str
    rows: list[Row]
    goals: list[Goal]


def main(
    only: Annotated[list[str] | None, typer.Option(help="A network, or NETWORK/CHIP; may be repeated.")] = None,
    demo: Annotated[Path, typer.Option(help="The .horner file of `horner demo`.")] = TRAINED,
    json: Annotated[Path | None, typer.Option(help="Write the results there.")] = None,
    write_docs: Annotated[
        bool, typer.Option(help="Write benchmarks/results/mcu.json and docs/microcontrollers.md.")
    ] = False,
) -> None:
    """Build networks for chips, run one image on each, and compare every output with the reference."""
    console = Console(width=None if Console().is_terminal else 120)
    if write_docs and only:
        raise typer.BadParameter("the document holds a run over everything; leave out --only")
    rows: list[Row] = []
    for network, chip in select(only or list(NETWORKS)):
        for optimise in dict.fromkeys((target(chip).optimise, "-Os")):
            for plan in (NETWORKS[network], DENSE):
                with console.status(f"{network} {plan} on {chip}, {optimise}"):
                    rows.append(measure(network, plan, chip, optimise, demo))
    found = goals(rows)
    console.print(table(rows))
    for goal in found:
        console.print(_goal(goal))
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    compiler = find_compiler().version.splitlines()[0]
    report = msgspec.json.format(msgspec.json.encode(Report(date, compiler, rows, found)), indent=1)
    for path in filter(None, (json, RESULTS if write_docs else None)):
        write_atomic(path, report + b"\n")
    if write_docs:
        parts = {"benchmarks.mcu": "\n".join(markdown(rows, found, date, compiler)), **examples(demo)}
        write_atomic(DOCUMENT, insert(DOCUMENT.read_text(encoding="utf-8"), parts))


def select(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the networks and chips named: all chips, or the one after a slash."""
    wanted = []
    for name in names:
        network, _, chip = name.partition("/")
        if network not in NETWORKS or (chip and chip not in EMULATED):
            raise typer.BadParameter(f"no {name}; networks {', '.join(NETWORKS)}, chips {', '.join(EMULATED)}")
        wanted += [(network, one) for one in ([chip] if chip else EMULATED)]
    return list(dict.fromkeys(wanted))


def measure(network: str, plan: str, chip: str, optimise: str, demo: Path) -> Row:
    """Build, run one image, compare, count."""
    program, images = _program(network, plan, demo)
    found = simulate(program, images, dataclasses.replace(target(chip), optimise=optimise))
    known, total = found.footprint, found.total
    assert known is not None
    assert total is not None
    sizes = (known.code, known.constants, known.arena, known.stack.bytes)
    return Row(network, plan, chip, optimise, *sizes, found.stack or 0, total.most)


def _program(network: str, plan: str, demo: Path) -> tuple[Program, np.ndarray]:
    """Return the trained network at the demonstration's plan; otherwise random weights, dense in int8 or by a plan."""
    workload = catalogue()[network]
    program = load(demo) if plan == "demo" else workload.program(plan, "int8")
    pixels = np.random.default_rng(0).integers(-128, 128, (1, *workload.shape)).astype(np.int8)
    return program, pixels


def goals(rows: Sequence[Row]) -> list[Goal]:
    """Return what is wanted of those rows that were measured."""
    by = {(row.network, row.plan, row.chip, row.optimise): row for row in rows}
    found = []
    if small := by.get(("lenet5", "demo", "cortex-m0plus", "-Os")):
        found += [
            Goal("LeNet-5 on cortex-m0plus, bytes of flash", 8192, small.flash),
            Goal("LeNet-5 on cortex-m0plus, bytes of RAM with stack", 4096, small.ram),
        ]
    fast, dense = by.get(("lenet5", "demo", "cortex-m4", "-O2")), by.get(("lenet5", DENSE, "cortex-m4", "-O2"))
    if fast and dense:
        instructions, flash = dense.instructions / fast.instructions, dense.flash / fast.flash
        found += [
            Goal("LeNet-5 on cortex-m4 (-O2), times fewer instructions than dense", 2.5, round(instructions, 2), True),
            Goal("LeNet-5 on cortex-m4 (-O2), times fewer bytes of flash than dense", 4, round(flash, 2), True),
        ]
    for row in rows:
        if (row.network, row.plan) == ("resnet20", "paper"):
            found += [
                Goal(f"ResNet-20 on {row.chip} ({row.optimise}), bytes of flash", 65536, row.flash),
                Goal(f"ResNet-20 on {row.chip} ({row.optimise}), bytes of RAM with stack", 32768, row.ram),
            ]
    return found


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """Return a row's cells under `HEADINGS`; the last two say how many times less than dense it needs."""
    dense = next(
        r for r in rows if (r.network, r.plan, r.chip, r.optimise) == (row.network, DENSE, row.chip, row.optimise)
    )
    numbers = (row.flash, row.ram, row.arena, row.stack, row.instructions)
    times = (dense.flash / row.flash, dense.instructions / row.instructions)
    shown = [f"{ratio:.2f}x" if row is not dense else "" for ratio in times]
    return [f"{row.network} {row.plan}", row.chip, row.optimise, *(f"{number:,}" for number in numbers), *shown]


def table(rows: Sequence[Row]) -> Table:
    """Return the rows for the terminal."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in HEADINGS:
        made.add_column(heading, justify="left" if heading in ("network", "chip", "") else "right", no_wrap=True)
    for row in rows:
        made.add_row(*cells(row, rows))
    return made


def markdown(rows: Sequence[Row], found: Sequence[Goal], date: str, compiler: str) -> Iterator[str]:
    """Yield the generated part of the document."""
    yield f"Measured {date} with {compiler}."
    yield ""
    yield from grid(
        (*HEADINGS, "again"),
        [(*cells(row, rows), f"`{COMMAND} --only {row.network}/{row.chip}`") for row in rows],
    )
    yield ""
    yield from (f"- {_goal(goal)}" for goal in found)


def examples(demo: Path) -> dict[str, str]:
    """Return what the commands of the document print, as they print it."""
    program, chip = load(demo), target("cortex-m0plus")
    known = footprint_of(program, chip, "lenet5")
    assert known is not None
    digits = data.load("mnist").test.take(10)
    tables = {"export": known.table(), "simulate": simulate(program, digits.images, chip, "lenet5").table()}
    return {f"benchmarks.mcu {verb}": f"```text\n{_text(shown)}\n```" for verb, shown in tables.items()}


def _text(shown: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=110)
    with console.capture() as captured:
        console.print(shown)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())


def _goal(goal: Goal) -> str:
    bound = "at least" if goal.least else "at most"
    return f"{goal.text}: {goal.measured:,}, {bound} {goal.wanted:,} wanted: {'met' if goal.met else 'not met'}"


if __name__ == "__main__":
    typer.run(main)
