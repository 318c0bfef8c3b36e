"""Per-channel vectors (biases, multipliers) in C: one number, a table, or stored coefficients spread when needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from horner.backends.c.part import Scratch
from horner.backends.c.sums import Run, runs
from horner.backends.c.types import FLOAT, INT64, CType, Table, literals, table
from horner.program.weights import Positional


@dataclass(frozen=True)
class Vector:
    """A vector as the templates read it.

    Parameters
    ----------
    value
        The C expression of the element at ``channel``.
    table
        Its constants, None where all elements are one number.
    scratch
        Where the elements go before use, None where the table holds them all.
    runs
        How the coefficients of the table spread into `scratch`.
    """

    value: str
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
        return FLOAT if self.scratch is not None and self.scratch.type is FLOAT else INT64


def vector(name: str, stored: Positional) -> Vector:
    """Return a vector in the form that takes the fewest bytes of constants."""
    values = stored.expand()
    if np.unique(values).size == 1:
        return Vector(literals(values[:1])[0])
    expanded = table(name, values)
    coefficients = table(f"{name}_coefficients", stored.effective)
    if coefficients.bytes >= expanded.bytes:
        return Vector(f"{name}[channel]", expanded)
    scratch = Scratch(name, expanded.type, values.size)
    return Vector(f"{name}[channel]", coefficients, scratch, tuple(runs(stored.axes[0])))
