"""Time Horner against its peers on this machine: ``python -m benchmarks.host --help``."""

from __future__ import annotations

import datetime
import gc
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from benchmarks import contest, document, machine, targets, timing, workloads
from horner._files import write_atomic

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "host.json"
DOCUMENT = ROOT / "docs" / "performance.md"
LEAST_RUNS = 200


@dataclass(frozen=True)
class Report:
    """Everything that a run measured."""

    date: str
    runs: int
    machine: machine.Machine
    rows: list[contest.Row]
    targets: list[targets.Target]


def main(
    only: Annotated[list[str] | None, typer.Option(help="A workload, or WORKLOAD/PLAN; may be repeated.")] = None,
    runs: Annotated[int, typer.Option(help="Samples of every contestant.", min=LEAST_RUNS)] = LEAST_RUNS,
    json: Annotated[Path | None, typer.Option(help="Write the results there.")] = None,
    write_docs: Annotated[
        bool, typer.Option(help="Write benchmarks/results/host.json and docs/performance.md.")
    ] = False,
) -> None:
    """Run layers and networks side by side: Horner's C, dense and under plans, and its peers on the dense network."""
    console = Console(width=None if Console().is_terminal else 170)
    if write_docs and only:
        raise typer.BadParameter("the document holds a run over everything; leave out --only")
    wanted = select(only or list(workloads.catalogue()))
    timing.pin()
    logging.disable(logging.WARNING)
    peaks, contests = machine.peaks(), dict[str, contest.Contest]()
    for number, (workload, plans) in enumerate(wanted, 1):
        with console.status(f"{number} of {len(wanted)}: {workload.name}"):
            contests[workload.name] = contest.run(workload, plans, runs)
            gc.collect()
            peaks = peaks.best(machine.peaks())
        console.print(document.table(workload.name, contests[workload.name].floored(peaks)))
    results = {name: of_workload.floored(peaks) for name, of_workload in contests.items()}
    described = machine.describe(peaks)
    rates = ", ".join(f"{kind} {rate:.0f}" for kind, rate in peaks.macs.items())
    console.print(f"{described.processor}, peaks of one core in 10^9 multiply-accumulates per second: {rates}\n")
    reached = targets.evaluate(results)
    if reached:
        console.print(document.target_table(reached))
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    rows = [row for of_workload in results.values() for row in of_workload]
    report = msgspec.json.format(msgspec.json.encode(Report(date, runs, described, rows, reached)), indent=1)
    for path in filter(None, (json, RESULTS if write_docs else None)):
        write_atomic(path, report + b"\n")
    if write_docs:
        document.write(DOCUMENT, described, results, reached, date)


def select(names: list[str]) -> list[tuple[workloads.Workload, list[str]]]:
    """Return the workloads named, each with the plans asked for: all, or those after a slash."""
    catalogue, wanted = workloads.catalogue(), dict[str, list[str]]()
    for name in names:
        workload, _, plan = name.partition("/")
        if workload not in catalogue:
            raise typer.BadParameter(f"no workload {workload}; there are {', '.join(catalogue)}")
        if plan and plan not in catalogue[workload].plans:
            raise typer.BadParameter(f"{workload} has no plan {plan}; it has {', '.join(catalogue[workload].plans)}")
        wanted.setdefault(workload, []).extend([plan] if plan else catalogue[workload].plans)
    return [(catalogue[name], list(dict.fromkeys(plans))) for name, plans in wanted.items()]


if __name__ == "__main__":
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # its helpers would share the core that is timed
    typer.run(main)
