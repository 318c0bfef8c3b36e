"""Where every activation and working buffer lies in the one static arena: known before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from horner.backends.c.types import CType
from horner.program.layers import Flatten
from horner.program.program import Program


@dataclass(frozen=True)
class Buffer:
    """An array that lives from one layer to another, both included.

    Parameters
    ----------
    type, length
        Its elements.
    first, last
        Numbers of the layers that write it first and use it last.
    """

    type: CType
    length: int
    first: int
    last: int

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.type.bytes * self.length


@dataclass(frozen=True)
class Arena:
    """The buffers' places.

    Parameters
    ----------
    buffers
        All of them.
    offsets
        The first byte of each, a multiple of its type's size.
    """

    buffers: tuple[Buffer, ...]
    offsets: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size of the arena, a multiple of its largest type's."""
        end = max((at + b.bytes for at, b in zip(self.offsets, self.buffers, strict=True)), default=0)
        return _aligned(end, max((buffer.type.bytes for buffer in self.buffers), default=1))

    @property
    def types(self) -> list[CType]:
        """The types kept in it, small ones first."""
        return sorted({buffer.type for buffer in self.buffers}, key=lambda kind: (kind.bytes, kind.name))

    def pointer(self, number: int) -> str:
        """Return the C expression for the first element of a buffer."""
        kind = self.buffers[number].type
        offset = self.offsets[number] // kind.bytes
        return f"arena.{kind.member} + {offset}" if offset else f"arena.{kind.member}"


def place(buffers: Sequence[Buffer]) -> Arena:
    """Give every buffer the lowest place free during its life, the largest buffers first."""
    offsets = [0] * len(buffers)
    placed: list[int] = []
    for number in sorted(range(len(buffers)), key=lambda i: -buffers[i].bytes):
        buffer = buffers[number]
        rivals = [i for i in placed if buffers[i].first <= buffer.last and buffer.first <= buffers[i].last]
        at = 0
        for rival in sorted(rivals, key=lambda i: offsets[i]):
            if offsets[rival] >= at + buffer.bytes:
                break
            at = max(at, _aligned(offsets[rival] + buffers[rival].bytes, buffer.type.bytes))
        offsets[number] = at
        placed.append(number)
    return Arena(tuple(buffers), tuple(offsets))


def homes(program: Program) -> list[int]:
    """Return, for every value, the value whose memory it is kept in: a flattened map is the map itself.

    The program's output never lies in its input: a program that only flattens copies.
    """
    home = [0]
    for number, layer in enumerate(program.layers):
        home.append(home[layer.source] if isinstance(layer, Flatten) else number + 1)
    if home[-1] == 0:
        home[-1] = len(program.layers)
    return home


def _aligned(offset: int, size: int) -> int:
    return -(-offset // size) * size
