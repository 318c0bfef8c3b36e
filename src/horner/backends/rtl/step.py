"""A layer on the array: which sums it reuses, how it is cut into passes, what the array cannot do."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from horner.backends.rtl.array import ring_of
from horner.basis import Axis
from horner.errors import ArchitectureError
from horner.hardware.stream import Stream, cycles
from horner.program.layers import Conv, MaxPool, Value
from horner.program.program import Program
from horner.program.schedule import COL, DENSE, IN, OUT, ROW, Schedule, core, possible
from horner.program.weights import Positional


@dataclass(frozen=True)
class Step:
    """A convolution on the array, with the pooling that follows it.

    Parameters
    ----------
    source, result
        The activations read and made.
    pool
        Rows and columns of a window of the maximum that follows.
    core
        What operands are multiplied by, ``(out, in, row, col)``.
    columns, wide
        Of the `Design`.
    """

    name: str
    conv: Conv
    source: Value
    result: Value
    pool: tuple[int, int]
    schedule: Schedule
    core: np.ndarray
    columns: int
    wide: bool

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Of out, in, row and col: dense where nothing is reused."""
        kept = self.schedule.kept
        return tuple(
            self.conv.weights.axes[i] if isinstance(self.conv.weights, Positional) and i in kept else Axis(length)
            for i, length in enumerate(self.conv.weights.shape)
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of what is stored: the result, pooled."""
        channels, rows, columns = self.result.shape
        return channels, rows // self.pool[0], columns // self.pool[1]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns read, padding included."""
        (rows, columns), kernel, stride = self.result.shape[1:], self.conv.weights.shape[2:], self.conv.stride
        return (rows - 1) * stride[0] + kernel[0], (columns - 1) * stride[1] + kernel[1]

    @property
    def inner(self) -> int:
        """Channels, or their sums."""
        return self.core.shape[IN]

    @property
    def taps(self) -> int:
        """Vectors of operands at every position: channels or their sums, times columns of the kernel or their sums."""
        return self.inner * self.core.shape[COL]

    @property
    def passes(self) -> int:
        """Over every window: filters, or coefficients along them, by columns of the array."""
        return -(-self.core.shape[OUT] // self.columns)

    @property
    def filters(self) -> int:
        """Filters or coefficients of a pass: as even as can be."""
        return -(-self.core.shape[OUT] // self.passes)

    @functools.cached_property
    def cycles(self) -> int:
        """Cycles of one image, with a ring that holds two windows; that of a whole design may hold more."""
        return cycles(self.stream(ring_of(self.taps)))

    def stream(self, ring: int) -> Stream:
        """Return the layer as a stream, with so many vectors in the ring."""
        out, _, _, col = self.axes
        reused = not out.dense
        return Stream(
            size=self.size,
            channels=self.conv.weights.shape[IN],
            inner=self.inner,
            kernel=(self.conv.weights.shape[ROW], self.conv.weights.shape[COL]),
            stride=self.conv.stride,
            wide=self.wide,
            terms=0 if col.dense else self.core.shape[COL],
            passes=self.passes,
            filters=self.filters,
            outputs=self.conv.weights.shape[OUT],
            segment=out.pieces[-1][1] if reused else 1,
            coefficients=out.runs[0][2] if reused else 1,
            ring=ring,
        )


def steps_of(program: Program, rows: int, columns: int, reuse: bool, wide: bool) -> Iterator[Step]:
    """Yield the steps of a program on ``rows x columns`` PEs, each by the schedule of the fewest cycles.

    Raises
    ------
    ArchitectureError
        For layers that the array cannot do, and arrays too small for a kernel.
    """
    if not program.integer:
        raise ArchitectureError("the array computes integers; this program is of floats")
    layers = list(zip(program.names, program.layers, strict=True))
    number = 0
    while number < len(layers):
        name, layer = layers[number]
        if not isinstance(layer, Conv):
            raise ArchitectureError(
                f"{name}: {type(layer).__name__}; the array does convolutions and fully connected layers, each with "
                "a maximum over windows that do not overlap"
            )
        if layer.source != number:
            raise ArchitectureError(f"{name} reads value {layer.source}; the array does layers one after the other")
        if layer.groups != 1 or layer.dilation != (1, 1):
            raise ArchitectureError(
                f"{name}: {layer.groups} groups, dilation {layer.dilation}; the array does 1 and (1, 1)"
            )
        if layer.stride[1] > layer.weights.shape[COL] > 1:
            raise ArchitectureError(
                f"{name}: stride {layer.stride} of a kernel of {layer.weights.shape[2:]}; the array takes no steps "
                "longer than the kernel, unless that is of one column"
            )
        source, result = program.values[number], program.values[number + 1]
        pool = (1, 1)
        number += 1
        if number < len(layers) and isinstance(following := layers[number][1], MaxPool):
            pool = _pool(layers[number][0], following, result, number)
            number += 1
        ways = [
            Step(name, layer, source, result, pool, schedule, core(layer, schedule), columns, wide)
            for schedule in (possible(layer) if reuse else [DENSE])
            if _gathers(layer, schedule)
        ]
        fitting = [step for step in ways if step.core.shape[ROW] <= rows]
        if not fitting:
            least = min(step.core.shape[ROW] for step in ways)
            raise ArchitectureError(f"{name}: {least} rows of a kernel do not fit an array of {rows} rows; enlarge it")
        yield min(fitting, key=lambda step: (step.cycles, step.core.size, len(step.schedule.kept)))


def _gathers(conv: Conv, schedule: Schedule) -> bool:
    """Whether gather and spread units can do a schedule: index nodes, equal terms, kernels in one piece."""
    if schedule.by_level:
        return False
    if not isinstance(conv.weights, Positional):
        return True
    for i in schedule.kept:
        axis = conv.weights.axes[i]
        if axis.nodes != "index" or len({terms for _, _, terms in axis.runs}) > 1:
            return False
        if i in (ROW, COL) and axis.segment != axis.length:
            return False
    return True


def _pool(name: str, pool: MaxPool, source: Value, number: int) -> tuple[int, int]:
    _, height, width = source.shape
    if pool.source != number or pool.kernel != pool.stride or pool.padding != (0, 0) or pool.dilation != (1, 1):
        raise ArchitectureError(
            f"{name}: windows of {pool.kernel}, stride {pool.stride}, padding {pool.padding}; the array takes the "
            "maximum over windows that do not overlap, without padding, right after a convolution"
        )
    if height % pool.kernel[0] or width % pool.kernel[1]:
        raise ArchitectureError(f"{name}: windows of {pool.kernel} do not divide a map of {height}x{width}")
    return pool.kernel
