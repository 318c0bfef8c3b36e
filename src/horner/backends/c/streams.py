"""Activations as rows that stream: where a row lies, and which rows of its inputs a layer needs for it."""

from __future__ import annotations

from dataclasses import dataclass

from horner.backends.c.types import CType


@dataclass(frozen=True)
class Reach:
    """The rows of an input that row ``y`` of an output needs: ``first..stop``, both clipped to the input.

    Parameters
    ----------
    rows
        Rows of the input.
    step
        How far the window moves for the next row of the output.
    first, stop
        The window of row 0 before it is clipped, `stop` excluded.
    table
        Every row's ``(first, stop)`` where windows do not move evenly; `step`, `first` and `stop` say nothing then.

    Examples
    --------
    >>> [Reach(5, 1, -1, 2)(y) for y in range(5)]
    [(0, 2), (0, 3), (1, 4), (2, 5), (3, 5)]
    """

    rows: int
    step: int = 1
    first: int = 0
    stop: int = 1
    table: tuple[tuple[int, int], ...] = ()

    def __call__(self, y: int) -> tuple[int, int]:
        """Return first row and the row after the last."""
        first, stop = self.table[y] if self.table else (self.first + y * self.step, self.stop + y * self.step)
        return min(max(first, 0), self.rows), min(max(stop, 0), self.rows)

    @classmethod
    def same(cls, rows: int) -> Reach:
        """Row ``y`` alone."""
        return cls(rows)

    @classmethod
    def whole(cls, rows: int) -> Reach:
        """All rows, whatever the output's."""
        return cls(rows, 0, 0, rows)


@dataclass(frozen=True)
class Stream:
    """An activation, or sums gathered from one, made row after row.

    Parameters
    ----------
    shape
        (channels, rows, columns).
    type
        Of its elements.
    by_channel
        Whether it is stored channel after channel, as callers have it and as a flattened map needs it; else row
        after row, in a ring of as many rows as are needed at once.
    place
        The caller's pointer that it lies at, or nothing where the arena holds it.
    """

    shape: tuple[int, int, int]
    type: CType
    by_channel: bool = False
    place: str = ""

    @property
    def row_elements(self) -> int:
        """Elements of one row of all channels."""
        return self.shape[0] * self.shape[2]


@dataclass(frozen=True)
class View:
    """A stream in its place, with the shape that a reader sees.

    Parameters
    ----------
    base
        The C expression of its first element.
    type
        Of its elements.
    shape
        (channels, rows, columns).
    capacity
        Rows stored at once.
    by_channel
        As in `Stream`.
    """

    base: str
    type: CType
    shape: tuple[int, int, int]
    capacity: int
    by_channel: bool

    @property
    def channel_step(self) -> int:
        """Elements from one channel to the next."""
        return self.shape[1] * self.shape[2] if self.by_channel else self.shape[2]

    @property
    def row_elements(self) -> int:
        """Elements of one row of all channels."""
        return self.shape[0] * self.shape[2]

    @property
    def row_step(self) -> int:
        """Elements from one row to the next."""
        return self.shape[2] if self.by_channel else self.row_elements

    def offset(self, row: str) -> str:
        """Return the C expression of a row's distance from the base; nothing where it is the base.

        >>> from horner.backends.c.types import INT8
        >>> View("input", INT8, (3, 8, 8), 8, True).offset("row")
        'row * 8'
        >>> View("arena.i8", INT8, (3, 8, 8), 5, False).offset("top + i")
        'slot(top + i, 5, 13108) * 24'
        """
        if self.capacity == 1 or row == "0":
            return ""
        if self.capacity < self.shape[1]:
            reciprocal = (1 << 16) // self.capacity + 1
            if self.shape[1] * self.capacity >= 1 << 16:  # too tall for the reciprocal to be exact
                return f"({row}) % {self.capacity} * {self.row_step}"
            return f"slot({row}, {self.capacity}, {reciprocal}) * {self.row_step}"
        row = f"({row})" if " " in row else row
        return row if self.row_step == 1 else f"{row} * {self.row_step}"

    def row(self, row: str) -> str:
        """Return the C expression of a row's first element."""
        offset = self.offset(row)
        return f"{self.base} + {offset}" if offset else self.base
