"""The kernel whose vectors hold neighbouring positions: every coefficient is broadcast, rows of words go past it.

A tile of output positions is filled with all words that its windows see (gathering rows and columns on the way); the
core multiplies a block of coefficients with it in registers, spreads them over filters, pools, and makes activations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from horner.backends.c.host.work import Work
from horner.backends.c.sums import Run, runs
from horner.program.schedule import COL, OUT, ROW

MOST_VECTORS = 4
MOST_ROWS = 12


@dataclass(frozen=True)
class Block:
    """Rows of products formed at once.

    Parameters
    ----------
    run
        The run of the out axis whose segments they are.
    first
        The run's number.
    count
        Blocks of this size, one after the other.
    segments
        Of the run, in one block.
    """

    run: Run
    number: int
    count: int
    segments: int

    @property
    def rows(self) -> int:
        """Coefficients."""
        return self.segments * self.run.terms


@dataclass(frozen=True)
class Tile:
    """A tile's size in vectors, and the blocks of coefficients that suit it."""

    vectors: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, eq=False)
class Positions:
    """The layout of one convolution under this kernel; lengths in words unless said."""

    work: Work

    @cached_property
    def phases(self) -> int:
        """Neighbouring outputs of one member of the pooling window are this many columns apart."""
        return self.work.conv.stride[1] * self.work.window[1]

    @cached_property
    def needed(self) -> tuple[int, int]:
        """Rows and columns of the padded input that outputs see."""
        counts = []
        for i in range(2):
            last = self.work.size[i] * self.work.window[i] - 1
            counts.append(
                last * self.work.conv.stride[i] + (self.work.kernel_size[i] - 1) * self.work.conv.dilation[i] + 1
            )
        return counts[0], counts[1]

    @cached_property
    def row(self) -> int:
        """Words of one phase of one row of the prepared map."""
        columns = self.needed[1]
        if self.work.folded:
            columns -= (self.work.kernel_size[1] - 1) * self.work.conv.dilation[1]
        return -(-columns // self.phases)

    @property
    def plane(self) -> int:
        """Words of one plane of the prepared map."""
        return self.needed[0] * self.phases * self.row

    @property
    def map_words(self) -> int:
        """Words of the prepared map, and as many more as a vector reads beyond it."""
        planes = 1 if self.work.paired_late else self.work.words[0]
        return self.work.groups * planes * self.plane + 2 * self.work.lanes

    @cached_property
    def tile(self) -> int:
        """Vectors of pooled positions in a full tile."""
        needed = -(-self.work.positions // self.work.lanes)
        most = max(1, MOST_VECTORS // self.work.members)
        if self.work.isa.accumulators < 24:
            most = max(1, most // 2) if self.work.members == 1 else 1
        return -(-needed // -(-needed // most))  # as even as can be

    @cached_property
    def step(self) -> int:
        """Positions of a full tile: whole rows where the gathers, which start anew with every row, gain by it."""
        held, width = self.tile * self.work.lanes, self.work.size[1]
        whole = held // width * width
        if not any(self.gathers) or whole == 0 or whole >= self.work.positions:
            return held
        more = -(-self.work.positions // whole) - -(-self.work.positions // held)
        return whole if more <= max(1, self.work.positions // held // 5) else held

    @cached_property
    def tiles(self) -> tuple[int, int]:
        """Full tiles, and positions of the last, smaller one (0: none)."""
        full, rest = divmod(self.work.positions, self.step)
        # one that takes as many vectors as a full one is done by the same code
        return (full + 1, 0) if -(-rest // self.work.lanes) == self.tile else (full, rest)

    @property
    def stride(self) -> int:
        """Words from one row of a tile to the next: a run of positions may overrun its tile by a vector."""
        ragged = self.work.size[1] % self.work.lanes and self.work.size[0] > 1
        return (self.tile + (1 if ragged else 0)) * self.work.lanes

    @property
    def panel_words(self) -> int:
        """Words of a tile."""
        return math.prod(self.work.words) * self.work.members * self.stride

    @cached_property
    def sum_row(self) -> int:
        """Words of one phase of a row of sums, where rows are gathered before columns."""
        width = min(self.work.size[1], self.tile * self.work.lanes)
        lanes = self.work.lanes  # whole vectors, so that one that starts `reach` words late still ends inside
        return -(-(-(-width // lanes) * lanes + self.reach) // lanes) * lanes

    def blocks(self, vectors: int) -> tuple[Block, ...]:
        """Cut the rows of coefficients into blocks that the registers hold beside `vectors` of positions."""
        most = max(1, min(MOST_ROWS, self.work.isa.accumulators // (vectors * self.work.members)))
        found = []
        for number, run in enumerate(runs(self.work.axes[OUT])):
            fit = max(1, most // run.terms)
            blocks = -(-run.count // fit)
            fit = -(-run.count // blocks)
            whole, rest = divmod(run.count, fit)
            found.append(Block(run, number, whole, fit))
            if rest:
                found.append(Block(run, number, 1, rest))
        return tuple(found)

    @cached_property
    def variants(self) -> tuple[Tile, ...]:
        """The full tile, and the last one where it is smaller."""
        full, rest = self.tiles
        sizes = ([self.tile] if full else []) + ([-(-rest // self.work.lanes)] if rest else [])
        return tuple(Tile(size, self.blocks(size)) for size in sizes)

    def packed(self, tile: Tile) -> np.ndarray:
        """Return the weights in the order in which the core meets them, ``(groups, ...)`` words."""
        core, _ = self.work.core
        groups, rows = core.shape[:2]
        moved = core
        if self.work.paired_late:
            moved = core.reshape(groups, rows, -1, 1, 1)
        elif self.work.folded:  # (channels, columns) are the channels of a kernel of one column
            moved = np.moveaxis(core, 4, 3).reshape(groups, rows, -1, core.shape[3], 1)
        # (groups, rows, words of channels, rows, columns), each word's parts together
        words = self.work.operand.words(np.moveaxis(moved, 2, -1))
        words = np.moveaxis(words, -1, 2).reshape(groups, rows, -1)
        parts, first = [], 0
        for block in tile.blocks:
            for _ in range(block.count):
                part = words[:, first : first + block.rows]
                parts.append(np.moveaxis(part, 1, 2).reshape(groups, -1))
                first += block.rows
        return np.concatenate(parts, 1)

    def column(self, member: int, tap: int) -> tuple[int, int]:
        """Return phase and offset of the column that a kernel column meets, for a member of the pooling window."""
        at = member * self.work.conv.stride[1] + tap * self.work.conv.dilation[1]
        return at % self.phases, at // self.phases

    @cached_property
    def reach(self) -> int:
        """Words beyond a run of positions that the windows of its last position see."""
        return max(self.column(self.work.window[1] - 1, j)[1] for j in range(self.work.kernel_size[1]))

    @property
    def narrow(self) -> bool:
        """Whether half a vector holds a row and all that its windows see."""
        return self.work.size[1] + self.reach <= self.work.lanes // 2

    @property
    def gathers(self) -> tuple[bool, bool]:
        """Whether rows, and whether columns, are gathered."""
        return self.work.reuses(ROW), self.work.reuses(COL)
