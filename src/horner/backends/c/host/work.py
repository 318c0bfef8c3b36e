"""What one convolution has to do on the host, under one choice of schedule, operands and kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from horner.backends.c.host.isa import Isa
from horner.backends.c.host.operand import F32, F64, I16, U8, Operand
from horner.backends.c.sums import runs
from horner.basis import Axis, evaluate
from horner.program.bounds import EXACT_DOUBLE, accumulator
from horner.program.integer import INT8_HIGH, INT8_LOW, INT32_HIGH
from horner.program.layers import Conv, MaxPool, Value
from horner.program.schedule import COL, DENSE, IN, OUT, ROW, Schedule, core
from horner.program.weights import Positional

Kernel = Literal["positions", "filters", "wide"]


@dataclass(frozen=True, eq=False)
class Work:
    """A convolution, the maximum pool behind it if it is done on the way out, and how it is done.

    Parameters
    ----------
    conv, source, result
        The layer, what it reads, and what it makes before pooling.
    pool
        Done on sums, before they become activations.
    schedule
        Which sums are reused.
    operand
        What is multiplied.
    kernel
        `positions`: a vector holds neighbouring positions of one filter; `filters`: neighbouring filters at one
        position; `wide`: one by one, in 64 bits.
    isa
        The instruction set.
    """

    conv: Conv
    source: Value
    result: Value
    pool: MaxPool | None
    schedule: Schedule
    operand: Operand
    kernel: Kernel
    isa: Isa

    # geometry

    @property
    def lanes(self) -> int:
        """Positions, or filters, in a vector."""
        return self.isa.lanes * 4 // self.operand.word_bytes

    @property
    def window(self) -> tuple[int, int]:
        """Positions that are pooled into one, along rows and columns."""
        return self.pool.kernel if self.pool else (1, 1)

    @property
    def members(self) -> int:
        """Positions that are pooled into one."""
        return math.prod(self.window)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of what is written."""
        rows, columns = self.result.shape[1:]
        return rows // self.window[0], columns // self.window[1]

    @property
    def positions(self) -> int:
        """Positions of what is written."""
        return math.prod(self.size)

    @property
    def groups(self) -> int:
        """Groups of channels."""
        return self.conv.groups

    @property
    def kernel_size(self) -> tuple[int, int]:
        """Rows and columns of the kernel."""
        return self.conv.weights.shape[2:]  # type: ignore[return-value]

    @property
    def whole(self) -> bool:
        """Whether the kernel covers its input exactly."""
        return self.source.shape[1:] == self.kernel_size and not any(self.conv.padding)

    # the axes as the schedule sees them

    @cached_property
    def axes(self) -> tuple[Axis, Axis, Axis, Axis]:
        """Out, in, row, col; dense where not reused. `out` is that of one group."""
        shape = self.conv.weights.shape
        axes = [Axis(length) for length in shape]
        for i in self.schedule.kept:
            assert isinstance(self.conv.weights, Positional)
            axes[i] = self.conv.weights.axes[i]
        out = axes[OUT]
        per_group = shape[OUT] // self.groups
        axes[OUT] = Axis(
            per_group, None if out.dense else min(out.segment or per_group, per_group), out.degree, out.nodes
        )
        return axes[0], axes[1], axes[2], axes[3]

    def reuses(self, axis: int) -> bool:
        """Whether the sums along an axis are reused."""
        return axis in self.schedule.kept

    @property
    def channels(self) -> int:
        """Values a group's kernel sees at one pixel: channels, or sums of them."""
        return self.axes[IN].coefficients

    @cached_property
    def taps(self) -> int:
        """Values of one group that a filter multiplies."""
        return math.prod(axis.coefficients for axis in self.axes[1:])

    @cached_property
    def coefficients(self) -> int:
        """Rows of products of one group: filters, or coefficients over them."""
        return self.axes[OUT].coefficients

    @property
    def folded(self) -> bool:
        """Whether the columns of the kernel are treated as channels, which fills words of few channels."""
        parts, columns = self.operand.parts, self.kernel_size[1]
        return (
            not self.reuses(COL)
            and not self.paired_late
            and self.channels < parts
            and -(-self.channels * columns // parts) < -(-self.channels // parts) * columns
        )

    @property
    def paired_late(self) -> bool:
        """Whether sums of one channel are gathered first and put into words, two taps each, after that."""
        return self.channels == 1 and self.operand is I16 and (self.reuses(ROW) or self.reuses(COL))

    @cached_property
    def words(self) -> tuple[int, int, int]:
        """Words of one group's window along channels, rows and columns."""
        rows, columns = self.axes[ROW].coefficients, self.axes[COL].coefficients
        if self.paired_late:
            return -(-rows * columns // self.operand.parts), 1, 1
        if self.folded:
            return -(-self.channels * columns // self.operand.parts), rows, 1
        return -(-self.channels // self.operand.parts), rows, columns

    # numbers

    @cached_property
    def core(self) -> tuple[np.ndarray, list[np.ndarray] | None]:
        """What inputs are multiplied by, ``(groups, coefficients, in, row, col)``, and how `out` is read from it.

        The second is a matrix for every run of the out axis, from the products to Newton's coefficients; None where
        they are Newton's already.
        """
        values, conversions = (
            (core(self.conv, self.schedule), None) if self.operand is not U8 else _by_order(self.conv, self.schedule)
        )
        return values.reshape(self.groups, self.coefficients, *values.shape[1:]), conversions

    @cached_property
    def fits(self) -> bool:
        """Whether the operand holds all inputs, their sums, and the coefficients."""
        if self.operand is F32:
            return True
        if self.operand is F64:
            return accumulator(self.conv, self.source, self.schedule) < EXACT_DOUBLE
        if accumulator(self.conv, self.source, DENSE) > INT32_HIGH:
            return False
        if self.operand is U8:
            if not self.isa.byte_products or set(self.schedule.kept) - {OUT}:
                return False
            values, _ = self.core
            return values.min() >= -128 and values.max() <= 127
        values, _ = self.core
        return self.reach < 1 << 15 and values.min() >= -(1 << 15) and values.max() < 1 << 15

    @cached_property
    def reach(self) -> int:
        """Largest magnitude of a gathered sum."""
        low, high = INT8_LOW - self.source.zero_point, INT8_HIGH - self.source.zero_point
        low, high = min(low, 0), max(high, 0)
        largest = max(-low, high)
        for axis in (IN, ROW, COL):
            if self.reuses(axis):
                growth = max(float(_reach(self.axes[axis]).max()), 1.0)
                largest = int(largest * growth)
        return largest

    @cached_property
    def biases(self) -> np.ndarray | None:
        """What is added to every filter's sum, ``(filters,)``: int32 (wrapped), float32 or float64; None for zeros."""
        filters = self.conv.weights.shape[OUT]
        bias = self.conv.bias.expand() if self.conv.bias is not None else np.zeros(filters, np.int64)
        if self.operand is U8:  # inputs are taken 128 larger than they are
            sums = self.conv.weights.expand().reshape(filters, -1).sum(1)
            bias = bias - (self.source.zero_point + 128) * sums
        if not bias.any():
            return None
        if self.operand.parts == 1:
            return bias.astype(self.operand.weight)
        return bias.astype(np.int64).astype(np.int32)

    @cached_property
    def multipliers(self) -> np.ndarray:
        """What turns every filter's sum into its activation, ``(filters,)``."""
        return self.conv.output.multiplier.expand()


def _reach(axis: Axis) -> np.ndarray:
    """The largest sum of inputs of magnitude one, for every coefficient; and of those on the way."""
    return np.concatenate([np.abs(Axis(size, None, axis.degree, axis.nodes).matrix).sum(0) for _, size, _ in axis.runs])


def _by_order(conv: Conv, schedule: Schedule) -> tuple[np.ndarray, list[np.ndarray] | None]:
    """Return coefficients over filters as they are stored, less the shifts that all of an order share."""
    weights = conv.weights
    if OUT not in schedule.kept:
        return core(conv, schedule), None
    assert isinstance(weights, Positional)
    assert weights.shifts is not None
    axis = weights.axes[OUT]
    families = weights.shifts[np.ix_(*(a.orders for a in weights.axes))].astype(np.int64)
    values = weights.core.astype(np.int64) << families
    for dimension in (IN, ROW, COL):
        values = evaluate(weights.axes[dimension].to_newton(values, dimension), weights.axes[dimension], dimension)
    shifts = np.zeros(3, np.int64)
    for order in range(3):
        chosen = values[axis.orders == order]
        if chosen.any():
            bits = int(np.bitwise_or.reduce(np.abs(chosen), axis=None))
            shifts[order] = (bits & -bits).bit_length() - 1
    values = values >> shifts[axis.orders].reshape(-1, 1, 1, 1)
    return values, [np.array(run.to_newton) << shifts[: run.terms] for run in runs(axis)]
