"""What arrays cost, beside an independent model and side by side: ``python -m benchmarks.hardware --help``.

These are models: the numbers are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import independent, side_by_side, vgg16
from benchmarks.markdown import insert
from horner import __version__
from horner._files import write_atomic

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "hardware.json"
DOCUMENT = ROOT / "docs" / "hardware.md"
PEER_PYTHON = ROOT / ".venv-nn-dataflow" / "bin" / "python"
COMMAND = "python -m benchmarks.hardware"


@dataclass(frozen=True)
class Report:
    """Everything that a run found."""

    versions: dict[str, str]
    independent: list[independent.Row]
    vgg16: list[vgg16.Row]
    side_by_side: list[side_by_side.Row]


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="nn-dataflow, a network, or NETWORK/PLAN; may be repeated.")
    ] = None,
    peer: Annotated[Path, typer.Option(help="The Python of an environment with nn-dataflow.")] = PEER_PYTHON,
    json: Annotated[Path | None, typer.Option(help="Write the results there.")] = None,
    write_docs: Annotated[
        bool, typer.Option(help="Write benchmarks/results/hardware.json and docs/hardware.md.")
    ] = False,
) -> None:
    """Compare Horner's Row Stationary model with nn-dataflow's, and Row Stationary with reuse on whole networks."""
    console = Console(width=None if Console().is_terminal else 170)
    if write_docs and only:
        raise typer.BadParameter("the document holds a run over everything; leave out --only")
    asked, wanted = select(only)
    report = Report({"horner": __version__}, [], [], [])
    if asked:
        if not peer.exists():
            raise typer.BadParameter(f"there is no {peer}; make {PEER_PYTHON.parent.parent.name}/.ready makes it")
        with console.status(independent.PEER):
            rows, versions = independent.measure(peer)
        report.versions.update(versions)
        report.independent.extend(rows)
        console.print("\n".join(independent.markdown(rows, report.versions)), soft_wrap=True, markup=False)
    if not only:
        with console.status("VGG-16"):
            report.vgg16.extend(vgg16.measure())
        console.print("\n".join(vgg16.markdown(report.vgg16)), soft_wrap=True, markup=False)
    for number, (network, plan, batch) in enumerate(wanted, 1):
        with console.status(f"{number} of {len(wanted)}: {network} {plan}, batch {batch}"):
            report.side_by_side.append(side_by_side.measure(network, plan, batch))
    if wanted:
        console.print(table(report.side_by_side))
    content = msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"
    for path in filter(None, (json, RESULTS if write_docs else None)):
        write_atomic(path, content)
    if write_docs:
        write_atomic(DOCUMENT, insert(DOCUMENT.read_text(encoding="utf-8"), parts(report)))


def select(names: Sequence[str] | None) -> tuple[bool, list[tuple[str, str, int]]]:
    """Return whether nn-dataflow is asked, and the networks, plans and batches named; everything where none is."""
    catalogue = side_by_side.catalogue()
    wanted: list[tuple[str, str]] = []
    for name in names or [independent.PEER, *catalogue]:
        network, _, plan = name.partition("/")
        if name == independent.PEER:
            continue
        if network not in catalogue or (plan and plan not in catalogue[network].plans):
            known = ", ".join(f"{one} ({', '.join(workload.plans)})" for one, workload in catalogue.items())
            raise typer.BadParameter(f"no {name}; there are {independent.PEER} and the networks {known}")
        wanted += [(network, one) for one in ([plan] if plan else catalogue[network].plans)]
    chosen = [(*pair, batch) for pair in dict.fromkeys(wanted) for batch in side_by_side.BATCHES]
    return names is None or independent.PEER in names, chosen


def parts(report: Report) -> dict[str, str]:
    """Return the generated parts of the document."""
    return {
        "benchmarks.hardware nn-dataflow": "\n".join(independent.markdown(report.independent, report.versions)),
        "benchmarks.hardware VGG-16": "\n".join(vgg16.markdown(report.vgg16)),
        "benchmarks.hardware networks": "\n".join(side_by_side.markdown(report.side_by_side)),
    }


def table(rows: Sequence[side_by_side.Row]) -> Table:
    """Return networks side by side for the terminal."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in side_by_side.headings():
        made.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in rows:
        made.add_row(*side_by_side.cells(row))
    return made


if __name__ == "__main__":
    typer.run(main)
