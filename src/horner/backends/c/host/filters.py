"""The kernel whose vectors hold neighbouring filters: every input is broadcast, rows of coefficients go past it.

For fully connected layers and small maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from horner.backends.c.host.work import Work
from horner.program.schedule import COL, IN, ROW

MOST_POSITIONS = 4
CHAINS = 8


@dataclass(frozen=True)
class Block:
    """Vectors of coefficients formed at once, and how many such blocks follow each other."""

    count: int
    vectors: int


@dataclass(frozen=True, eq=False)
class Filters:
    """The layout of one convolution under this kernel."""

    work: Work

    @property
    def flat(self) -> bool:
        """Whether the window is the input itself, value by value."""
        return self.work.whole and not (self.work.reuses(ROW) or self.work.reuses(COL))

    @property
    def direct(self) -> bool:
        """Whether nothing is done to the input before it is multiplied."""
        return self.flat and self.work.operand.name == "f32" and not self.work.reuses(IN)

    @cached_property
    def needed(self) -> tuple[int, int]:
        """Rows and columns of the padded input."""
        counts = []
        for i in range(2):
            last = (self.work.size[i] - 1) * self.work.conv.stride[i]
            counts.append(last + (self.work.kernel_size[i] - 1) * self.work.conv.dilation[i] + 1)
        return counts[0], counts[1]

    @property
    def tap_words(self) -> int:
        """Words of a window."""
        return -(-self.work.taps // self.work.operand.parts)

    @property
    def window_elements(self) -> int:
        """Values from one window to the next."""
        return self.work.taps if self.flat else self.tap_words * self.work.operand.parts

    @cached_property
    def vectors(self) -> int:
        """Vectors of coefficients of a group."""
        return -(-self.work.coefficients // self.work.lanes)

    @property
    def batch(self) -> int:
        """Positions multiplied at once."""
        return min(MOST_POSITIONS, self.work.positions)

    @property
    def rest(self) -> int:
        """Positions of the last, smaller batch; 0 for none."""
        return self.work.positions % self.batch

    @property
    def batches(self) -> list[int]:
        """Sizes of batches."""
        return [self.batch, *([self.rest] if self.rest else [])]

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Cut the vectors into blocks that the registers hold for a batch."""
        most = max(1, min(6, self.work.isa.accumulators // (self.batch + 1)))
        blocks = -(-self.vectors // most)
        fit = -(-self.vectors // blocks)
        whole, rest = divmod(self.vectors, fit)
        return (Block(whole, fit), *([Block(1, rest)] if rest else []))

    @property
    def chains(self) -> int:
        """Independent sums of every product, so that one need not wait for the one before."""
        return max(1, min(4, CHAINS // (self.batch * self.blocks[0].vectors)))

    @property
    def group_sums(self) -> int:
        """Words of one position's products of a group."""
        return self.vectors * self.work.lanes

    @property
    def sum_words(self) -> int:
        """Words of one position's products."""
        return self.work.groups * self.group_sums

    def packed(self) -> np.ndarray:
        """Return the weights in the order in which the core meets them, ``(groups, ...)`` words."""
        core, _ = self.work.core
        groups, rows = core.shape[:2]
        words = self.work.operand.words(core.reshape(groups, rows, -1))
        words = np.pad(words, ((0, 0), (0, self.group_sums - rows), (0, 0)))
        parts, first = [], 0
        for block in self.blocks:
            for _ in range(block.count):
                part = words[:, first : first + block.vectors * self.work.lanes]
                parts.append(np.moveaxis(part, 1, 2).reshape(groups, -1))
                first += block.vectors * self.work.lanes
        return np.concatenate(parts, 1)
