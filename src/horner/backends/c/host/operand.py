"""What a kernel multiplies: words of one float or double, of two int16, or of four bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from horner.backends.c.types import DOUBLE, FLOAT, INT16, UINT8, CType


@dataclass(frozen=True)
class Operand:
    """The form of gathered inputs and of what they are multiplied by.

    Parameters
    ----------
    name
        Suffix of the C functions.
    parts
        Values in a word.
    element
        The type of one value of the inputs.
    weight
        The NumPy type of one value of the weights.
    vector
        The C vector that sums of inputs are gathered in.
    """

    name: str
    parts: int
    element: CType
    weight: type
    vector: str

    @property
    def word(self) -> str:
        """The C type of a word, and of a sum of products."""
        return "int32_t" if self.parts > 1 else self.element.name

    @property
    def word_bytes(self) -> int:
        """Size of a word."""
        return self.parts * self.element.bytes

    @property
    def sums(self) -> str:
        """The C vector of sums of products."""
        return "i32v" if self.parts > 1 else self.vector

    def words(self, values: np.ndarray) -> np.ndarray:
        """Pack the last dimension into words, zeros behind: ``(..., n)`` becomes ``(..., ceil(n / parts))``."""
        short = -values.shape[-1] % self.parts
        padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, short)])
        packed: np.ndarray = np.ascontiguousarray(padded.astype(self.weight))
        return packed.view(np.int32) if self.parts > 1 else packed


F32 = Operand("f32", 1, FLOAT, np.float32, "f32v")
F64 = Operand("f64", 1, DOUBLE, np.float64, "f64v")
"""Of integers: exact while all sums stay below 2**53."""
I16 = Operand("i16", 2, INT16, np.int16, "i16v")
U8 = Operand("u8", 4, UINT8, np.int8, "")
