"""Per-channel vectors (biases, multipliers) in C: one number, a table, or stored coefficients spread when needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from horner.backends.c.part import Scratch
from horner.backends.c.sums import Run, runs
from horner.backends.c.types import FLOAT, UINT32, UINT64, CType, Table, literals, table
from horner.program.weights import Positional


@dataclass(frozen=True)
class Vector:
    """A vector as the templates read it.

    Parameters
    ----------
    value
        The C expression of the element at ``channel``, before `shift`.
    shift
        A left shift that all elements have in common.
    table
        Its constants, None where all elements are one number.
    scratch
        Where the elements go before use, None where the table holds them all.
    runs
        How the coefficients of the table spread into `scratch`.
    """

    value: str
    shift: int = 0
    table: Table | None = None
    scratch: Scratch | None = None
    runs: tuple[Run, ...] = ()

    @property
    def per_channel(self) -> bool:
        """Whether elements differ."""
        return self.table is not None

    @property
    def sum_type(self) -> CType:
        """The type in which coefficients are spread."""
        if self.scratch is None or self.scratch.type is FLOAT:
            return FLOAT
        return UINT32 if self.scratch.type.bytes <= 4 else UINT64  # what is on the way may wrap


def vector(name: str, stored: Positional) -> Vector:
    """Return a vector in the form that takes the fewest bytes of constants."""
    values = stored.expand()
    if np.unique(values).size == 1:
        return Vector(literals(values[:1])[0])
    shift = 0
    if values.dtype.kind != "f":
        bits = int(np.bitwise_or.reduce(values))
        shift = (bits & -bits).bit_length() - 1
    expanded = table(name, values >> shift if shift else values)
    plain = table(name, values)
    effective = stored.effective
    if plain.type.bytes <= 4 and plain.type is not FLOAT:
        effective = effective.astype(np.int32)  # wraps, as its sums do
    coefficients = table(f"{name}_coefficients", effective)
    if coefficients.bytes >= expanded.bytes:
        return Vector(f"{name}[channel]", shift, expanded)
    scratch = Scratch(name, plain.type, values.size, f"{name}_expand")
    return Vector(f"{name}[channel]", 0, coefficients, scratch, tuple(runs(stored.axes[0])))
