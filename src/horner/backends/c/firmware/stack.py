"""The most stack that a function and all it calls can take: frames along the call graph, no run needed.

Frames are those of the debugging information, exact before every instruction, of the compiler's own helpers too.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from horner.backends.c.firmware.elf import Image, Symbol
from horner.backends.c.firmware.instructions import INDIRECT, jumps
from horner.errors import CompileError


@dataclass(frozen=True)
class StackBound:
    """A bound and the chain of calls that reaches it.

    Parameters
    ----------
    bytes
        Below the caller's own frame; interrupts come on top.
    chain
        Names of functions, the caller first.
    """

    bytes: int
    chain: tuple[str, ...]


def stack_bound(image: Image, function: str) -> StackBound:
    """Return the most stack that calling a function takes.

    Raises
    ------
    CompileError
        When it cannot be bounded: recursion, calls through pointers, frames that only running tells.
    """
    starts = [f.address for f in image.functions]
    known: dict[int, StackBound] = {}

    def containing(address: int) -> Symbol:
        place = bisect.bisect_right(starts, address) - 1
        if place < 0 or address >= image.functions[place].end:
            raise CompileError(f"no stack bound: code at {address:#x} belongs to no function")
        return image.functions[place]

    def bound(at: Symbol, callers: tuple[str, ...]) -> StackBound:
        if at.name in callers:
            raise CompileError(f"no stack bound: {at.name} calls itself by {', '.join(callers)}")
        if at.address not in known:
            known[at.address] = _deepest(at, (*callers, at.name))
        return known[at.address]

    def _deepest(at: Symbol, callers: tuple[str, ...]) -> StackBound:
        frame = image.frames.get(at.address)
        if frame is None or None in frame.depths:
            raise CompileError(f"no stack bound: the frame of {at.name} is not known")
        deepest = StackBound(max(depth or 0 for depth in frame.depths), (at.name,))
        section = next(s for s in image.sections.values() if s.address <= at.address < s.address + s.size)
        for address, target, call in jumps(image, section, at.address, at.end):
            if target == INDIRECT:
                raise CompileError(f"no stack bound: {at.name} calls through a pointer at {address:#x}")
            if at.address <= target < at.end and not call:
                continue
            called = bound(containing(target), callers)
            total = (frame.at(address) or 0) + called.bytes
            if total > deepest.bytes:
                deepest = StackBound(total, (at.name, *called.chain))
        return deepest

    return bound(containing(image.addresses[function]), ())
