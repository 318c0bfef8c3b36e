"""An array that counts what is really done to it and remembers the largest number it ever made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Tally:
    """Operations executed, element by element, and the largest magnitude that any of them gave."""

    multiplications: int = 0
    additions: int = 0
    peak: int = 0


class Counted:
    """A NumPy integer array of which every multiplication, addition and intermediate is seen.

    A matrix product really forms its products and adds them one after the other, by the operations counted here.
    """

    __array_ufunc__ = None  # so that `array @ counted` and `array * counted` arrive here

    def __init__(self, array: np.ndarray, tally: Tally) -> None:
        self.array, self.tally = array, tally

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    dtype = property(lambda self: self.array.dtype)

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        return Counted(self.array[index], self.tally)

    def reshape(self, *shape):
        return Counted(self.array.reshape(*shape), self.tally)

    def transpose(self, *order):
        return Counted(self.array.transpose(*order), self.tally)

    def __add__(self, other):
        return self._added(self.array + _plain(other))

    def __sub__(self, other):
        return self._added(self.array - _plain(other))

    def __lshift__(self, times):
        return self._seen(self.array << times)

    def __mul__(self, other):
        result = self._seen(self.array * _plain(other))
        self.tally.multiplications += result.array.size
        return result

    __radd__ = __add__
    __rmul__ = __mul__

    def __rmatmul__(self, matrix):
        products = self[..., None, :, :] * matrix[..., :, :, None]
        total = products[..., 0, :]
        for term in range(1, products.shape[-2]):
            total = total + products[..., term, :]
        return total

    def __array_function__(self, function, types, args, kwargs):
        if function not in (np.pad, np.stack, np.zeros_like):  # these move numbers and make none
            return NotImplemented
        plain = [[_plain(item) for item in arg] if isinstance(arg, list) else _plain(arg) for arg in args]
        return Counted(function(*plain, **kwargs), self.tally)

    def _added(self, array):
        result = self._seen(array)
        self.tally.additions += array.size
        return result

    def _seen(self, array):
        if array.size:
            self.tally.peak = max(self.tally.peak, int(np.abs(array).max()))
        return Counted(array, self.tally)


def _plain(value):
    return value.array if isinstance(value, Counted) else value
