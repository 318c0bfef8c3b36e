"""C's number types, and tables of constants in the smallest of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CType:
    """A C number type.

    Parameters
    ----------
    name
        As C writes it.
    bytes
        Its size, and its alignment.
    member
        The arena's member of this type.
    """

    name: str
    bytes: int
    member: str

    def __str__(self) -> str:
        return self.name


INT8, INT16, INT32, INT64 = (CType(f"int{bits}_t", bits // 8, f"i{bits}") for bits in (8, 16, 32, 64))
UINT8, UINT16, UINT32, UINT64 = (CType(f"uint{bits}_t", bits // 8, f"u{bits}") for bits in (8, 16, 32, 64))
FLOAT = CType("float", 4, "f32")
DOUBLE = CType("double", 8, "f64")


def signed(low: int, high: int) -> CType:
    """Return the smallest signed type that holds ``low..high``.

    >>> str(signed(-128, 127)), str(signed(0, 128))
    ('int8_t', 'int16_t')
    """
    return next(kind for kind in (INT8, INT16, INT32, INT64) if -(1 << 8 * kind.bytes - 1) <= min(low, ~high))


@dataclass(frozen=True, eq=False)
class Table:
    """A constant array of the generated source, one-dimensional in C order.

    Examples
    --------
    >>> print(Table("core", INT8, np.array([[1, -2], [3, 4]])))
    static const int8_t core[4] = {
        1, -2, 3, 4
    };
    """

    name: str
    type: CType
    values: np.ndarray

    @property
    def bytes(self) -> int:
        """Bytes of flash it takes."""
        return self.values.size * self.type.bytes

    def __str__(self) -> str:
        lines = "".join(f"    {line}\n" for line in _wrapped(literals(self.values)))
        return f"static const {self.type} {self.name}[{self.values.size}] = {{\n{lines}}};"


def table(name: str, values: np.ndarray) -> Table:
    """Return a table of signed integers, in the smallest type that holds them all, or of floats."""
    if values.dtype.kind == "f":
        return Table(name, FLOAT, values)
    return Table(name, signed(int(values.min()), int(values.max())), values)


def literals(values: np.ndarray) -> list[str]:
    """Write numbers as C does, floats in as many digits as float32 needs.

    >>> literals(np.array([0.1, 1e-20, 3], np.float32))
    ['0.1f', '1e-20f', '3.0f']
    """
    if values.dtype.kind == "f":
        return [f"{value!s}f" for value in values.astype(np.float32).ravel()]
    return [str(value) for value in values.ravel().tolist()]


def _wrapped(words: Iterable[str], width: int = 100) -> list[str]:
    lines: list[str] = []
    line: list[str] = []
    length = 0
    for word in words:
        if line and length + len(word) + 2 > width:
            lines.append(", ".join(line) + ",")
            line, length = [], 0
        line.append(word)
        length += len(word) + 2
    return [*lines, ", ".join(line)]
