"""What a search shows on standard error: a bar and the front on a terminal, a line a trial elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from horner.pipeline import Say
from horner.search.front import Point, trials_table
from horner.search.proxies import Objective, Outcome


class Display:
    """Shows how a search goes.

    Parameters
    ----------
    say
        Called with every line instead of standard error.
    """

    def __init__(self, objective: Objective, max_drop: float, say: Say | None = None) -> None:
        self.objective, self.max_drop, self.heard = objective, max_drop, say
        self.console = Console(stderr=True, highlight=False)
        self.progress = Progress(
            TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=self.console
        )
        self.task = self.progress.add_task("trials", total=None)
        live = say is None and self.console.is_terminal
        self.live = Live(self.progress, console=self.console, transient=True) if live else None

    def __enter__(self) -> Display:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def say(self, line: str) -> None:
        """Print a line."""
        if self.heard:
            self.heard(line)
        else:
            self.console.print(line, markup=False, soft_wrap=True)

    def advance(self, finished: int, total: int) -> None:
        """Say how many trials of the study are finished."""
        self.progress.update(self.task, completed=finished, total=total)

    def trial(self, number: int, outcome: Outcome, front: Sequence[Point], seconds: float) -> None:
        """Say what became of a trial."""
        if outcome.drop is None:
            self.say(f"trial {number}: given up, {outcome.pruned}; {seconds:.0f} s")
            return
        on_front = any(point.number == number for point in front)
        place = "; on the front" if on_front else ""
        self.say(
            f"trial {number}: {outcome.cost:,.0f} {self.objective}, drop {outcome.drop:.2f}{place}; {seconds:.0f} s"
        )
        if self.live:
            self.live.update(Group(trials_table(front, self.objective, self.max_drop), self.progress), refresh=True)
