"""What a verb prints: numbers to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any, Protocol

from rich.console import Console, RenderableType

WIDTH = 120  # of tables in files and pipes
FAILED, USAGE, BUDGET_MISSED, INTERRUPTED = 1, 2, 3, 130


class Answer(Protocol):
    """What a verb found."""

    def to_dict(self) -> dict[str, Any]:
        """Return every number."""

    def table(self) -> RenderableType:
        """Return what fits a terminal."""


def say(line: str) -> None:
    """Print a line about the work to standard error."""
    Console(stderr=True, highlight=False).print(line, markup=False, soft_wrap=True)


def show(table: RenderableType, to_stderr: bool = False) -> None:
    """Print a table, as wide as the terminal or, into files and pipes, as it likes."""
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)


def answer(found: Answer, as_json: bool, **more: Any) -> None:
    """Print what was found as a table, or all of it and `more` as JSON."""
    if as_json:
        print(json.dumps({**found.to_dict(), **more}))
    else:
        show(found.table())


def report(numbers: dict[str, Any], as_json: bool) -> None:
    """Print numbers, one a line, or as JSON."""
    if as_json:
        print(json.dumps(numbers))
    else:
        print("\n".join(f"{name.replace('_', ' ')}: {_text(value)}" for name, value in numbers.items()))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def fail(message: str, code: int = FAILED, lines: bool = False) -> int:
    """Say what went wrong, in one line unless it takes `lines`; return the exit code."""
    print("horner: " + (message if lines else " ".join(message.split())), file=sys.stderr)
    return code


def discard_output() -> None:
    """Let the interpreter's last flush of standard output, which cannot be written, fail no more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
