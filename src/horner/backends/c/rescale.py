"""How an accumulator becomes an activation in C, in 32 bits wherever that is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from horner.program.integer import INT32_HIGH
from horner.program.layers import Output

Form = Literal["direct", "clamped", "split", "wide"]

SPLIT_SHIFT = 17
"""The least shift of the split form; smaller ones are made up for by larger multipliers."""


@dataclass(frozen=True)
class Rescale:
    """``round_shift(sum * multiplier, shift)``, or anything that saturates alike.

    Parameters
    ----------
    form
        `direct`: the product fits 32 bits. `clamped`: it does once the sum is clamped to ``-limit..limit``, beyond
        which the output saturates. `split`: the sum's upper and lower half are multiplied separately. `wide`: the
        product takes 64 bits.
    shift
        The right shift.
    limit
        Of the clamp.
    factor
        By which multipliers grow.
    """

    form: Form
    shift: int
    limit: int = 0
    factor: int = 1

    def expression(self, multiplier: str) -> str:
        """Return the C expression of the rescaled ``sum``."""
        if self.form == "wide":
            product = f"(int64_t)sum * {multiplier}"
            return f"round64({product}, {self.shift})" if self.shift else product
        if self.form == "split":
            factor = f" * {self.factor}" if self.factor > 1 else ""
            return f"rescale(sum, {multiplier}{factor}, {self.shift})"
        value = "sum" if self.form == "direct" else f"clamp(sum, {self.limit})"
        return f"round32({value} * {multiplier}, {self.shift})" if self.shift else f"{value} * {multiplier}"


def rescale(output: Output, bound: int, small: bool) -> Rescale:
    """Choose the form for an integer layer.

    Parameters
    ----------
    bound
        Of the accumulators' magnitudes.
    small
        Whether code that layers can share comes first.
    """
    multipliers = np.abs(output.multiplier.expand())
    most = int(multipliers.max())
    shift, half = output.shift, (1 << output.shift) >> 1
    if bound * most + half <= INT32_HIGH:
        return Rescale("direct", shift)
    factor = 1 << max(SPLIT_SHIFT - shift, 0)
    split = bound <= INT32_HIGH and most * factor < 1 << 16 and shift <= 47
    if split and small:
        return Rescale("split", max(shift, SPLIT_SHIFT), factor=factor)
    least = int(multipliers[multipliers > 0].min(initial=most))
    beyond = max(int(output.high) - output.zero_point, output.zero_point - int(output.low), 0) + 1
    limit = -(-(beyond << shift) // least) if least else INT32_HIGH
    if bound <= INT32_HIGH and limit * most + half <= INT32_HIGH:
        return Rescale("clamped", shift, limit)
    if split:
        return Rescale("split", max(shift, SPLIT_SHIFT), factor=factor)
    return Rescale("wide", shift)
