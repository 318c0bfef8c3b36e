"""What a convolution looks like to an array: its sizes, and how many of its numbers are zero."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ConvShape:
    """Sizes of a convolution, all groups together; a fully connected layer's kernel is the whole map.

    Parameters
    ----------
    name
        What messages and tables call it.
    filters, channels
        Of the output and of the input.
    kernel, size
        (rows, columns) of the kernel, and of the input without padding.
    stride, padding
        The same along rows and columns.
    groups
        Groups of channels that see only filters of their own.
    zeros_in, zeros_out
        Share of the activations read and written that are zero, for run-length coding.

    Examples
    --------
    >>> conv = ConvShape(name="conv1", filters=96, channels=3, kernel=(11, 11), size=(227, 227), stride=4)
    >>> conv.outputs, conv.macs
    ((55, 55), 105415200)
    """

    name: str
    filters: int
    channels: int
    kernel: tuple[int, int]
    size: tuple[int, int]
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    zeros_in: float = 0.0
    zeros_out: float = 0.0

    @property
    def outputs(self) -> tuple[int, int]:
        """(rows, columns) of the output."""
        rows, columns = (
            (n + 2 * p - k) // self.stride + 1 for n, p, k in zip(self.size, self.padding, self.kernel, strict=True)
        )
        return rows, columns

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        rows, columns = self.outputs
        return self.weights * rows * columns

    @property
    def weights(self) -> int:
        """Weights of all groups."""
        return self.filters * (self.channels // self.groups) * self.kernel[0] * self.kernel[1]

    def rows_read(self, rows: int) -> int:
        """Rows of the padded input that so many consecutive rows of the output are computed from."""
        return (rows - 1) * self.stride + self.kernel[0]

    @property
    def columns_read(self) -> int:
        """Columns of the padded input that the output is computed from."""
        return (self.outputs[1] - 1) * self.stride + self.kernel[1]
