"""`horner account`: what a file costs."""

from __future__ import annotations

from horner.cli.console import answer
from horner.cli.options import File, Json


def account(file: File, as_json: Json = False) -> None:
    """Say what a file costs: bytes, ratios and operations, layer by layer."""
    from horner.program.account import account
    from horner.program.file import load

    numbers = account(load(file), file)
    answer(numbers, as_json)
