"""Progress on the terminal for whatever takes longer than a second; silent when standard error is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Report = Callable[[int, int | None], None]
"""Takes what is done and, where it is known, the total."""


def silent(done: int, total: int | None) -> None:
    """Report nothing."""


@contextmanager
def transfer(title: str) -> Iterator[Report]:
    """Show bytes received, speed and time left."""
    with _bar(title, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as report:
        yield report


@contextmanager
def counting(title: str) -> Iterator[Report]:
    """Show how many of a number of things are done, or only that work goes on, before the first report."""
    with _bar(title, MofNCompleteColumn(), TimeRemainingColumn()) as report:
        yield report


@contextmanager
def _bar(title: str, *columns: ProgressColumn) -> Iterator[Report]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield silent
        return
    with Progress(TextColumn("{task.description}"), BarColumn(), *columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
