"""Results as tables: for the terminal, and as the generated part of docs/performance.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from benchmarks.contest import ARITHMETICS, HORNER, Row, fastest, ours, speedup
from benchmarks.machine import Machine
from benchmarks.markdown import grid, insert
from benchmarks.targets import Target
from benchmarks.workloads import DENSE, catalogue
from horner._files import write_atomic

COMMAND = "python -m benchmarks.host"
HEADINGS = (
    "contestant", "ratio", "µs", "quartiles", "alone", "x f32 peer", "x int8 peer", "x Horner dense",
    "floor", "reached",
)  # fmt: skip
TARGET_HEADINGS = ("target", "wanted", "measured", "alone", "", "medians")


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """Return a row's cells under `HEADINGS`; ratios above 1 mean that this row is the faster one."""
    mine = row.name == HORNER
    name = f"{HORNER} {row.plan}" if mine else row.name
    return [
        f"{name} {row.arithmetic}",
        f"{row.ratio:,.1f}" if mine else "",
        microseconds(row.call.median),
        f"{microseconds(row.call.lower)} to {microseconds(row.call.upper)}",
        microseconds(row.bare.median) if row.bare else "",
        _times(speedup(row, fastest(rows, "float32"))),
        _times(speedup(row, fastest(rows, "int8"))),
        _times(speedup(row, ours(rows, DENSE, row.arithmetic))) if mine else "",
        microseconds(row.floor) if row.floor else "",
        f"{100 * row.floor / row.bare.median:.0f} %" if row.floor and row.bare else "",
    ]


def table(name: str, rows: Sequence[Row]) -> Table:
    """Return one workload's rows for the terminal."""
    made = Table(title=name, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in (*HEADINGS, f"again: {COMMAND} --only".replace("-m ", "-m\n")):
        left = heading == "contestant" or "again" in heading
        made.add_column(heading, justify="left" if left else "right", no_wrap=True, vertical="bottom")
    for row in rows:
        made.add_row(*cells(row, rows), row.only, style="bold" if row.name == HORNER else "")
    return made


def target_table(targets: Sequence[Target]) -> Table:
    """Return the targets for the terminal."""
    made = Table(title="Targets", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in TARGET_HEADINGS:
        made.add_column(heading, justify="right" if heading in ("wanted", "measured", "alone") else "left")
    for target in targets:
        made.add_row(*_target(target))
    return made


def write(
    path: Path, machine: Machine, results: Mapping[str, Sequence[Row]], targets: Sequence[Target], date: str
) -> None:
    """Replace the generated part of the document.

    Raises
    ------
    ValueError
        When the document has no such part.
    """
    part = "\n".join(_markdown(machine, results, targets, date))
    write_atomic(path, insert(path.read_text(encoding="utf-8"), {"benchmarks.host": part}))


def _markdown(
    machine: Machine, results: Mapping[str, Sequence[Row]], targets: Sequence[Target], date: str
) -> Iterator[str]:
    yield "### Machine"
    yield ""
    peaks = machine.peaks
    caches = ", ".join(f"{name} {size}" for name, size in machine.caches.items())
    yield from grid(
        ("", ""),
        [
            ("Measured", date),
            ("Processor", f"{machine.processor}, {machine.cores} cores, one used"),
            ("Instructions", " ".join(machine.flags)),
            ("Data caches of a core", caches),
            ("System", f"{machine.system}, Python {machine.python}"),
            ("C compiler", machine.compiler),
            ("Packages", ", ".join(f"{name} {version}" for name, version in machine.packages.items())),
            ("Peaks, multiply-accumulates", ", ".join(f"{kind} {rate:.0f} G/s" for kind, rate in peaks.macs.items())),
            ("Peaks, reading", ", ".join(f"{level.name} {level.bandwidth:.0f} GB/s" for level in peaks.memory)),
        ],
    )
    yield ""
    yield "### Targets"
    yield ""
    yield from grid((*TARGET_HEADINGS, "again"), [(*_target(t), _command(t.only)) for t in targets])
    for kind in ("layer", "network"):
        yield ""
        yield f"### Overview: {kind}s"
        yield ""
        yield "Microseconds, and how many times faster than the fastest peer of the same arithmetic."
        yield ""
        yield from _overview({name: rows for name, rows in results.items() if catalogue()[name].kind == kind})
    for name, rows in results.items():
        yield ""
        yield f"### {name}"
        yield ""
        yield from grid((*HEADINGS, "again"), [(*cells(row, rows), _command(row.only)) for row in rows])


def _overview(results: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """One line for each workload and arithmetic, one column for each plan of any of them."""
    plans = list(dict.fromkeys(row.plan for rows in results.values() for row in rows if row.name == HORNER))
    lines = []
    for name, rows in results.items():
        for arithmetic in ARITHMETICS:
            peer = fastest(rows, arithmetic)
            mine = [ours(rows, plan, arithmetic) for plan in plans]
            said = f"{microseconds(peer.call.median)} {peer.name}" if peer else ""
            times = [f"{microseconds(r.call.median)} ({_times(speedup(r, peer))})" if r else "" for r in mine]
            lines.append((name, arithmetic, said, *times))
    yield from grid(("", "", "fastest peer", *plans), lines)


def _target(target: Target) -> tuple[str, ...]:
    met = "met" if target.met else "not met"
    return (
        target.text,
        f"{target.wanted:g}x",
        f"{target.measured:.2f}x",
        f"{target.alone:.2f}x",
        met,
        target.rows,
    )


def _command(only: str) -> str:
    return f"`{COMMAND} --only {only}`"


def microseconds(time: float) -> str:
    """Write a time to three digits, or to the microsecond.

    >>> microseconds(1234.5), microseconds(12.345), microseconds(0.012345)
    ('1,234', '12.3', '0.0123')
    """
    return f"{time:,.0f}" if time >= 100 else f"{time:.3g}"


def _times(ratio: float) -> str:
    return "" if math.isnan(ratio) else f"{ratio:.2f}x"
