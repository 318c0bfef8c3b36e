"""An array that takes its operands as a stream, block after block: when windows come, and when results leave.

`horner.backends.rtl` is such an array. A map is read pixel by pixel; line buffers show the rows under a kernel, then
the columns; what they show, or the sums gathered of it, waits in a ring until the array has multiplied it by every
coefficient, pass after pass. Blocks work side by side, so a layer takes what its slowest block takes, except where one
waits for another: at the start, at the end, and where the ring is full.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

PIPELINE = 13
"""Cycles from a pixel's address to its result, without units that gather or spread, and those to start a layer."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A layer as such an array takes it. Where sums are gathered, they take the place of what they are sums of.

    Parameters
    ----------
    size
        Rows and columns that are read, padding included.
    channels, inner
        Of what is read, and of the core.
    kernel, stride
        Rows and columns.
    wide
        Whether line buffers show all rows of a kernel in a cycle, or one.
    terms
        Sums over the columns of a kernel; 0 where every column is multiplied.
    passes, filters
        Over every window, and the core's filters of a pass.
    outputs
        Output channels.
    segment, coefficients
        Outputs of a segment, and the sums that they are spread from; 1 and 1 where nothing is spread.
    ring
        Vectors that wait for the array at most.
    """

    size: tuple[int, int]
    channels: int
    inner: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    wide: bool
    terms: int
    passes: int
    filters: int
    outputs: int
    segment: int
    coefficients: int
    ring: int

    @property
    def slides(self) -> bool:
        """Whether windows share vectors: no sums over columns, no columns left out."""
        return not self.terms and self.stride[1] <= self.kernel[1]

    @property
    def taps(self) -> int:
        """Vectors of a window."""
        return self.inner * (self.terms or self.kernel[1])

    @property
    def window(self) -> int:
        """Cycles that the array, or what it hands its sums to, takes for a window."""
        return max(self.passes * max(self.taps, self.filters), self.outputs)

    def column(self, row: int, column: int) -> tuple[int, int, bool]:
        """Return what a column of pixels brings: the cycles it takes, its vectors, and whether it ends a window."""
        rows = row - self.kernel[0] + 1
        if rows < 0 or rows % self.stride[0]:
            return max(self.channels, self.inner), 0, False
        columns = column - self.kernel[1] + 1
        ends = columns >= 0 and not columns % self.stride[1]
        lines = self.inner * (1 if self.wide else self.kernel[0])
        gathers = self.inner * max(self.kernel[1], self.terms) if ends and self.terms else 0
        vectors = self.inner if self.slides else self.inner * (self.terms or 1) if ends else 0
        return max(self.channels, self.inner, lines, gathers), vectors, ends


def cycles(layer: Stream) -> int:
    """Return the cycles of a layer of one image, from its start to its last result.

    Examples
    --------
    A fully connected layer of 84 inputs and 10 outputs waits for its inputs, then multiplies, then sends:

    >>> fc = Stream(size=(1, 1), channels=84, inner=84, kernel=(1, 1), stride=(1, 1), wide=True, terms=0, passes=1,
    ...             filters=10, outputs=10, segment=1, coefficients=1, ring=256)
    >>> cycles(fc) == 84 + 84 + 10 + PIPELINE
    True
    """
    (rows, columns), (kernel_rows, kernel_columns) = layer.size, layer.kernel
    front = array = waiting = 0  # cycles at which line buffers and array are done with what they have had; vectors
    used: deque[tuple[int, int]] = deque()  # the cycle at which a window is done, and the vectors that no other needs
    for row in range(rows):
        for column in range(columns):
            takes, vectors, ends = layer.column(row, column)
            front += takes
            waiting += vectors
            while waiting > layer.ring:
                freed, number = used.popleft()
                front, waiting = max(front, freed), waiting - number
            if ends:
                array = max(array, front) + layer.window
                shared = layer.slides and column < columns - 1
                used.append((array, layer.inner * layer.stride[1] if shared else layer.taps))
    first = kernel_columns - 1 if layer.terms else 0
    first += 0 if layer.wide else kernel_rows - 1
    return array + layer.filters + layer.segment - layer.coefficients + first + PIPELINE
