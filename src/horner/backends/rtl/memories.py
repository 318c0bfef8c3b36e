"""Memories: which of them are worth a block of memory, on devices that have such."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import memory

LEAST_BITS = 1024
"""Of a memory that takes blocks; one of fewer is cheaper in logic."""


def make(shape: Any, depth: int, init: Any = ()) -> memory.Memory:
    """Return a memory; a large one asks the synthesis for blocks, where read registers cost nothing."""
    return memory.Memory(shape=shape, depth=depth, init=init, attrs=style(Shape.cast(shape).width * depth))


def style(bits: int) -> dict[str, str]:
    """Return what a memory of so many bits asks for.

    >>> style(8 * 1024), style(8 * 16)
    ({'ram_style': 'block'}, {})
    """
    return {"ram_style": "block"} if bits >= LEAST_BITS else {}
