"""What one layer gives to the host's source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ALIGNMENT = 64
"""Of every table and every buffer, in bytes: a line of the cache."""


@dataclass(frozen=True)
class Store:
    """A working buffer; the template finds its offset in the arena under ``at``, by name."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Code:
    """A layer in C: the template of its function, what that wants to know, and working buffers."""

    template: str
    context: Mapping[str, Any]
    stores: tuple[Store, ...] = ()


@dataclass
class Constants:
    """The tables of all layers, one after the other."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, values: np.ndarray) -> int:
        """Append a table and return its offset."""
        at = self.size
        data = np.ascontiguousarray(values).tobytes()
        data += bytes(-len(data) % ALIGNMENT)
        self.parts.append(data)
        self.size += len(data)
        return at

    def array(self) -> np.ndarray:
        """Return all tables, on a boundary of the cache's lines, uint8."""
        return aligned(b"".join(self.parts))


def aligned(data: bytes | int) -> np.ndarray:
    """Return bytes (or as many zeros) in an array that starts on a boundary of the cache's lines."""
    size = data if isinstance(data, int) else len(data)
    memory = np.zeros(size + 2 * ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    if not isinstance(data, int):
        memory[start : start + size] = np.frombuffer(data, np.uint8)
    return memory[start : start + size + ALIGNMENT]
