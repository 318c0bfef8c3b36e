"""One line on the terminal; elsewhere one line an epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from horner.training.result import Epoch

REFRESH = 0.25  # seconds; reading the loss more often would make a GPU wait


class Display:
    """Shows nothing: the display of a process that does not lead, or was asked to be silent."""

    def step(self, epoch: int, done: int, loss: torch.Tensor, seen: int) -> None:
        """Say that ``done`` steps of the run are done; ``loss`` is the epoch's sum over ``seen`` images."""

    def epoch(self, epoch: int, result: Epoch) -> None:
        """Say how an epoch (from 0) ended."""


class Lines(Display):
    """A line an epoch, for logs."""

    def __init__(self, console: Console, epochs: int) -> None:
        self.console = console
        self.epochs = epochs

    def epoch(self, epoch: int, result: Epoch) -> None:
        """Print it."""
        self.console.print(
            f"epoch {epoch + 1}/{self.epochs}  loss {result.loss:.4f}  "
            f"validation {_percent(result.accuracy)}  {result.seconds:.1f} s",
            soft_wrap=True,
        )


class Bar(Display):
    """One line that is drawn over: epoch, loss, validation accuracy, remaining time."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress = progress
        self.task = task
        self.drawn = 0.0

    def step(self, epoch: int, done: int, loss: torch.Tensor, seen: int) -> None:
        """Draw the line again, a few times a second."""
        now = time.monotonic()
        if now - self.drawn >= REFRESH:
            self.drawn = now
            self.progress.update(self.task, completed=done, epoch=epoch + 1, loss=f"{float(loss) / seen:.4f}")

    def epoch(self, epoch: int, result: Epoch) -> None:
        """Draw the accuracy."""
        self.progress.update(self.task, epoch=epoch + 1, loss=f"{result.loss:.4f}", accuracy=_percent(result.accuracy))


@contextmanager
def shown(visible: bool, epochs: int, steps: int, console: Console | None = None) -> Iterator[Display]:
    """Show a run of ``epochs`` times ``steps`` on standard error, or not at all."""
    console = console or Console(stderr=True)
    if not visible:
        yield Display()
    elif not console.is_terminal:
        yield Lines(console, epochs)
    else:
        columns = (
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]}  validation {task.fields[accuracy]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=epochs * steps, epoch=1, epochs=epochs, loss="-", accuracy="-")
            yield Bar(progress, task)


def _percent(accuracy: float | None) -> str:
    return "-" if accuracy is None else f"{accuracy:.2f} %"
