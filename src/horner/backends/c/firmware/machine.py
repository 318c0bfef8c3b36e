"""What runs a network's code and sees what it costs: an emulated chip, a WebAssembly engine, or this machine."""

from __future__ import annotations

from collections import Counter
from typing import Protocol


class Machine(Protocol):
    """A machine that waits for an image.

    Attributes
    ----------
    stack
        Bytes of stack that the last run touched; None where it cannot be seen.
    """

    stack: int | None

    def run(self, data: bytes, size: int) -> bytes:
        """Classify one image: take its bytes, return `size` bytes of output."""
        ...

    def counts(self) -> Counter[int]:
        """Return the instructions of the last run by their owner's number; empty where they cannot be counted."""
        ...
