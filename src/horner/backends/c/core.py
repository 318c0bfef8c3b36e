"""What a layer multiplies by, in the form that takes the fewest bytes and is exact modulo the accumulator's width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from horner.backends.c.targets import Target
from horner.backends.c.types import FLOAT, INT8, UINT8, UINT32, CType, Table, signed, table
from horner.program.schedule import Schedule
from horner.program.weights import Positional, Ranked

SHIFTS_COST = 64
"""Bytes that must be saved for sums to be shifted: as many as the code takes, and what the time is worth."""


@dataclass(frozen=True, eq=False)
class Core:
    """The coefficients, ``(out coefficients, taps)``, each ``value << shift``.

    Parameters
    ----------
    table
        The values.
    shifts
        The shifts ``(orders of out, period)``: tap ``k`` of a coefficient of order ``a`` has shift
        ``[a, k % period]``. Without one, every shift is 0.
    period
        Taps after which the shifts repeat; with shifts, the table holds ``period`` runs of ``taps / period`` values.
    lanes
        Where the table holds words: taps packed in each, 2 or 4. Words of `BLOCK` coefficients alternate.
    """

    table: Table
    shifts: Table | None = None
    period: int = 1
    lanes: int = 0

    @property
    def bytes(self) -> int:
        """Flash of the tables."""
        return self.table.bytes + (self.shifts.bytes if self.shifts else 0)


BLOCK = 4
"""Coefficients whose sums are formed side by side where words are packed."""


def coefficients(weights: Positional | Ranked, schedule: Schedule) -> np.ndarray:
    """Return the coefficients, expanded along the axes not reused, in the stored basis along those that are.

    int64 or float32, ``(out, in, row, col)``, or ``(1 or out, terms)`` for weights summed by level.
    """
    if isinstance(weights, Ranked):
        return weights.effective if schedule.by_level else weights.expand()
    if weights.core.dtype == np.float32:
        values = weights.core.astype(np.float64)
    else:
        assert weights.shifts is not None
        families = np.ix_(*(axis.orders for axis in weights.axes))
        values = weights.core.astype(np.int64) << weights.shifts[families].astype(np.int64)
    for dimension, axis in enumerate(weights.axes):
        if dimension not in schedule.kept and not axis.dense:
            values = np.moveaxis(np.tensordot(axis.stored, values, (1, dimension)), 0, dimension)
    return values.astype(weights.core.dtype if weights.core.dtype == np.float32 else np.int64)


def compact(
    name: str, values: np.ndarray, orders: np.ndarray, periods: Sequence[int], sums: CType, target: Target
) -> Core:
    """Choose the form of a table.

    Parameters
    ----------
    values
        ``(out coefficients, taps)``.
    orders
        The order of every out coefficient.
    periods
        After how many taps shifts may repeat.
    sums
        The type of the accumulators: values count modulo its range.
    target
        Whether bytes come first, and in which order values are unpacked.
    """
    if sums is FLOAT:
        return Core(table(name, values))
    if sums.bytes == 4:
        values = values.astype(np.int32)  # wraps, as the sums do
    best = Core(table(name, values))
    if not target.small and best.table.type.bytes <= 2:
        return best
    taps = values.shape[1]
    for period in dict.fromkeys(math.gcd(taps, period) for period in periods):
        found = _shifted(name, values, orders, period)
        if found.bytes + SHIFTS_COST < best.bytes + (SHIFTS_COST if best.shifts else 0):
            best = found
    return best


def packed(core: Core, name: str) -> Core:
    """Pack plain values of 8 or 16 bits into words, for instructions that multiply two pairs of 16 bits at once.

    Two taps of 16 bits, the first in the lower half; or four of 8, the second and third having changed places, so
    that even and odd bytes are pairs of neighbours. Rows of taps are filled up with zeros.
    """
    lanes = 4 // core.table.type.bytes
    values = core.table.values
    rows, taps = values.shape
    values = np.pad(values, ((0, 0), (0, -taps % lanes))).reshape(rows, -1, lanes)
    if lanes == 4:
        values = values[:, :, [0, 2, 1, 3]]
    bits = 32 // lanes
    parts = (values.astype(np.int64) & ((1 << bits) - 1)) << (bits * np.arange(lanes))
    words = parts.sum(2)
    blocks = [words[first : first + BLOCK].T.ravel() for first in range(0, rows, BLOCK)]
    return Core(Table(name, UINT32, np.concatenate(blocks)), lanes=lanes)


def _shifted(name: str, values: np.ndarray, orders: np.ndarray, period: int) -> Core:
    families = values.reshape(len(values), -1, period).transpose(0, 2, 1)  # out, place in the period, repetition
    shifts = np.zeros((int(orders.max()) + 1, period), np.int64)
    for order in range(len(shifts)):
        bits = np.bitwise_or.reduce(families[orders == order], (0, 2))
        shifts[order] = [((int(b) & -int(b)).bit_length() - 1) if b else 0 for b in bits]
    shifted = families >> shifts[orders][:, :, None]
    kind = signed(int(shifted.min()), int(shifted.max()))
    return Core(
        Table(name, max(kind, INT8, key=lambda t: t.bytes), shifted), Table(f"{name}_shifts", UINT8, shifts), period
    )
