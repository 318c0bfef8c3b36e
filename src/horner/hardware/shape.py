"""What a convolution looks like to an array: its sizes, and how many of its numbers are zero."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Core:
    """What is left to multiply where sums are gathered before the array and spread after it.

    Parameters
    ----------
    filters
        Of all groups together: coefficients along the output channels, or all of them where nothing is spread.
    channels
        Gathered sums over the channels of one group, or all of its channels.
    kernel
        Gathered sums over (rows, columns) of the kernel.
    terms
        Sums of one segment of channels; a pass takes them together, as they are sums of the same pixels.
    gathers
        Additions of one gather over the channels of a group, the kernel's rows and its columns; 0 where none is.
    spread
        Additions that spread the sums of all filters, at one position.
    """

    filters: int
    channels: int
    kernel: tuple[int, int]
    terms: int = 1
    gathers: tuple[int, int, int] = (0, 0, 0)
    spread: int = 0


@dataclass(frozen=True, kw_only=True)
class ConvShape:
    """Sizes of a convolution, all groups together; a fully connected layer's kernel is the whole map.

    Parameters
    ----------
    name
        What messages and tables call it; shapes that differ in nothing else are equal.
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
    reuse
        What is multiplied where sums are reused; everything where None.

    Examples
    --------
    >>> conv = ConvShape(name="conv1", filters=96, channels=3, kernel=(11, 11), size=(227, 227), stride=4)
    >>> conv.outputs, conv.macs
    ((55, 55), 105415200)
    """

    name: str = field(compare=False)
    filters: int
    channels: int
    kernel: tuple[int, int]
    size: tuple[int, int]
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    zeros_in: float = 0.0
    zeros_out: float = 0.0
    reuse: Core | None = None

    @functools.cached_property
    def core(self) -> Core:
        """What the array multiplies."""
        whole = Core(filters=self.filters, channels=self.channels // self.groups, kernel=self.kernel)
        return self.reuse or whole

    @functools.cached_property
    def coefficients(self) -> int:
        """Numbers that the array multiplies by, of all groups: the weights, or what is left of them."""
        return self.core.filters * self.core.channels * self.core.kernel[0] * self.core.kernel[1]

    @functools.cached_property
    def pixels_per_channel(self) -> float:
        """Channels of the input behind one channel of the core."""
        return self.channels / self.groups / self.core.channels

    @functools.cached_property
    def outputs(self) -> tuple[int, int]:
        """(rows, columns) of the output."""
        rows, columns = (
            (n + 2 * p - k) // self.stride + 1 for n, p, k in zip(self.size, self.padding, self.kernel, strict=True)
        )
        return rows, columns

    @functools.cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the array for one image."""
        rows, columns = self.outputs
        return self.coefficients * rows * columns

    @property
    def weights(self) -> int:
        """Weights of all groups."""
        return self.filters * (self.channels // self.groups) * self.kernel[0] * self.kernel[1]

    def rows_read(self, rows: int) -> int:
        """Rows of the padded input that so many consecutive rows of the output are computed from."""
        return (rows - 1) * self.stride + self.kernel[0]

    @functools.cached_property
    def columns_read(self) -> int:
        """Columns of the padded input that the output is computed from."""
        return (self.outputs[1] - 1) * self.stride + self.kernel[1]
