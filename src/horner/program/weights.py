"""Stored weights: the coefficients of polynomials, by position or by rank."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from horner.basis import Axis, evaluate, gram
from horner.errors import ProgramError

FLOAT_BITS = 32
LARGEST_SHIFT = 31
LEAST_COEFFICIENT_BITS, LARGEST_COEFFICIENT_BITS = 2, 16
LARGEST_LEVEL_BITS = 8
LARGEST_EFFECTIVE = 2.0**62


@dataclass(frozen=True, eq=False)
class Positional:
    """A tensor stored as polynomials of position along each of its axes (a Tucker form with fixed factors).

    Serves weights (four axes: out, in, row, col) and per-channel vectors (one axis) alike.

    Parameters
    ----------
    axes
        One `Axis` per dimension of the expanded tensor.
    core
        The coefficients as stored, of the bases `Axis.stored`: int32 within `bits`, or float32; shape
        ``tuple(axis.coefficients for axis in axes)``.
    bits
        Bits per stored coefficient, 2 to 16 (signed), or 32 for float32.
    shifts
        Left shift of each family of coefficients, uint8 of shape ``tuple(terms(axis) for axis in axes)``: the
        coefficient of orders (i, j, ...) counts ``core << shifts[i, j, ...]``. Zeros when None.

    Examples
    --------
    >>> weights = Positional((Axis(4, degree=1),), np.array([7, -1]), bits=8)
    >>> weights.expand().tolist()  # 7 (1, 1, 1, 1) - (-3, -1, 1, 3)
    [10, 8, 6, 4]
    """

    axes: tuple[Axis, ...]
    core: np.ndarray
    bits: int
    shifts: np.ndarray | None = None

    def __post_init__(self) -> None:
        families = tuple(terms(axis) for axis in self.axes)
        shifts = np.zeros(families, np.uint8) if self.shifts is None else np.asarray(self.shifts)
        object.__setattr__(self, "core", _frozen(_coefficients(self.core, self.bits)))
        object.__setattr__(self, "shifts", _frozen(_shifts(shifts, families, self.bits)))
        wanted = tuple(axis.coefficients for axis in self.axes)
        if self.core.shape != wanted:
            raise ProgramError(f"coefficients have shape {self.core.shape}, the axes want {wanted}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the expanded tensor."""
        return tuple(axis.length for axis in self.axes)

    @property
    def stored(self) -> int:
        """Learned values stored."""
        return self.core.size

    @functools.cached_property
    def effective(self) -> np.ndarray:
        """Newton's coefficients, shifts applied: what is computed with. int64 (or float32), the shape of `core`."""
        return _newton(self.core, self.shifts, self.axes)

    def expand(self, keep: Sequence[int] = ()) -> np.ndarray:
        """Return the tensor the coefficients stand for; dimensions in `keep` stay in coefficients.

        int64, or float32 for float coefficients; shape `self.shape` when nothing is kept.
        """
        values = self.effective
        for dimension, axis in enumerate(self.axes):
            if dimension not in keep:
                values = evaluate(values, axis, dimension)
        return values


@dataclass(frozen=True, eq=False)
class Ranked:
    """Weights stored as their levels on a polynomial curve, one curve for the layer or one per filter.

    Parameters
    ----------
    levels
        uint8 ``(out, in, row, col)``, below ``2**level_bits``.
    level_bits
        Bits per stored level, 1 to 8.
    degree
        0, 1 or 2: degree of the curve over the levels.
    zero
        When true, level 0 is the weight 0 and level ``l`` sits at node ``l - 1``.
    core
        int32 (or float32) ``(1, terms)`` for the layer or ``(out, terms)`` for a curve per filter.
    bits
        Bits per stored coefficient, 2 to 16, or 32 for float32.
    shifts
        uint8 ``(terms,)``, as in `Positional`.

    Examples
    --------
    >>> levels = np.array([0, 1, 3], np.uint8).reshape(1, 3, 1, 1)
    >>> Ranked(levels, 2, 1, True, np.array([[-1, 3]]), bits=4).expand().ravel().tolist()
    [0, -4, 2]
    """

    levels: np.ndarray
    level_bits: int
    degree: int
    zero: bool
    core: np.ndarray
    bits: int
    shifts: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.level_bits <= LARGEST_LEVEL_BITS:
            raise ProgramError(f"levels of {self.level_bits} bits; 1 to {LARGEST_LEVEL_BITS} are possible")
        if self.degree not in (0, 1, 2):
            raise ProgramError(f"degree {self.degree} is not one of 0, 1, 2")
        levels = np.asarray(self.levels)
        if levels.ndim != 4 or (levels.size and (levels.min() < 0 or levels.max() >= 1 << self.level_bits)):
            raise ProgramError(f"levels of shape {levels.shape} must have 4 axes and fit {self.level_bits} bits")
        if not levels.size:
            raise ProgramError(f"weights of shape {levels.shape} have no elements")
        families = (terms(self.curve),)
        shifts = np.zeros(families, np.uint8) if self.shifts is None else np.asarray(self.shifts)
        object.__setattr__(self, "levels", _frozen(_whole(levels, "levels").astype(np.uint8)))
        object.__setattr__(self, "core", _frozen(_coefficients(self.core, self.bits)))
        object.__setattr__(self, "shifts", _frozen(_shifts(shifts, families, self.bits)))
        if self.core.shape not in ((1, *families), (self.shape[0], *families)):
            raise ProgramError(
                f"coefficients have shape {self.core.shape}, the curves want (1 or {self.shape[0]}, {families[0]})"
            )

    @property
    def curve(self) -> Axis:
        """The axis of levels that the curve's polynomial runs over."""
        return Axis((1 << self.level_bits) - int(self.zero), degree=self.degree)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the expanded tensor."""
        return self.levels.shape

    @property
    def stored(self) -> int:
        """Learned values stored: coefficients and levels."""
        return self.core.size + self.levels.size

    @functools.cached_property
    def effective(self) -> np.ndarray:
        """Newton's coefficients of every curve, shifts applied, int64 (or float32), the shape of `core`."""
        return _newton(self.core, self.shifts, (Axis(len(self.core)), self.curve))

    @property
    def table(self) -> np.ndarray:
        """The weight of every level, ``(1 or out, 2**level_bits)``."""
        values = evaluate(self.effective, self.curve, 1)
        return np.pad(values, ((0, 0), (1, 0))) if self.zero else values

    def expand(self) -> np.ndarray:
        """Return the weights the levels stand for, int64 or float32, shape `self.shape`."""
        table = np.broadcast_to(self.table, (self.shape[0], 1 << self.level_bits))
        return np.take_along_axis(table, self.levels.reshape(self.shape[0], -1).astype(np.intp), 1).reshape(self.shape)


Weights = Positional | Ranked


def terms(axis: Axis) -> int:
    """Families of coefficients along an axis: the largest order in use, plus one."""
    return 1 if axis.degree is None else min(axis.degree + 1, axis.segment or axis.length)


@functools.cache
def _squared_norms(axis: Axis) -> tuple[int, ...]:
    """The sum of squares of every basis function of an axis' first segment."""
    if axis.dense:
        return (1,)
    first = Axis(axis.segment or axis.length, degree=axis.degree, nodes=axis.nodes)
    return tuple(sum(value * value for value in column) for column in first.stored.T.tolist())


def usual_shifts(axes: Sequence[Axis]) -> np.ndarray:
    """Return the shifts that go with coefficients whose parts of the weights are of one size, int64, by family.

    A step of a coefficient changes the weights by the norm of its basis function; each shift is the power of two
    nearest to what that falls short of the largest norm by. They follow from the axes and need not be stored.

    >>> usual_shifts([Axis(5, degree=2), Axis(3)]).tolist()
    [[1], [0], [0]]
    """
    squares = np.ones((), object)
    for axis in axes:
        squares = np.multiply.outer(squares, np.array(_squared_norms(axis), object))
    largest = max(squares.flat)
    shifts = [next(k for k in range(64 * len(axes)) if square << (2 * k + 1) > largest) for square in squares.flat]
    return np.minimum(np.array(shifts, np.int64), LARGEST_SHIFT).reshape(squares.shape)


def constant(value: int | float, length: int, bits: int) -> Positional:
    """Return a vector of `length` equal values, stored once."""
    kind = np.float32 if bits == FLOAT_BITS else np.int32
    return Positional((Axis(length, degree=0),), np.array([value], kind), bits)


def signed_bits(lowest: int, highest: int) -> int:
    """Return the bits of the narrowest two's complement numbers that hold all whole numbers between two.

    >>> signed_bits(0, 0), signed_bits(-1, 1), signed_bits(-4, 3), signed_bits(0, 4)
    (1, 2, 3, 4)
    """
    return 1 + max((number if number >= 0 else ~number).bit_length() for number in (lowest, highest))


def _coefficients(core: np.ndarray, bits: int) -> np.ndarray:
    core = np.asarray(core)
    if bits == FLOAT_BITS:
        if not np.isfinite(core).all():
            raise ProgramError("float coefficients must be finite")
        return core.astype(np.float32)
    if not LEAST_COEFFICIENT_BITS <= bits <= LARGEST_COEFFICIENT_BITS:
        raise ProgramError(
            f"coefficients of {bits} bits; {LEAST_COEFFICIENT_BITS} to {LARGEST_COEFFICIENT_BITS} are possible, "
            "or 32 for float"
        )
    limit = 1 << (bits - 1)
    if core.size and (core.min() < -limit or core.max() >= limit):
        raise ProgramError(f"coefficients from {core.min()} to {core.max()} do not fit {bits} signed bits")
    return _whole(core, "coefficients").astype(np.int32)


def _whole(array: np.ndarray, what: str) -> np.ndarray:
    if array.dtype.kind not in "iu" and not (array == np.floor(array)).all():
        raise ProgramError(f"{what} must be whole numbers")
    return array


def _newton(core: np.ndarray, shifts: np.ndarray | None, axes: Sequence[Axis]) -> np.ndarray:
    """Apply shifts and pass from the stored bases to Newton's, exactly."""
    if core.dtype == np.float32:
        values = core.astype(np.float64)
    else:
        assert shifts is not None
        families = shifts.reshape((1,) * (len(axes) - shifts.ndim) + shifts.shape)
        by_coefficient = families[np.ix_(*(axis.orders for axis in axes))].astype(np.int64)
        growth = math.prod(float(np.abs(gram(axis.segment or 1, terms(axis))).sum()) for axis in axes if axis.degree)
        if float(np.abs(core).max(initial=0)) * 2.0 ** int(shifts.max(initial=0)) * growth >= LARGEST_EFFECTIVE:
            raise ProgramError(f"coefficients shifted by up to {shifts.max()} overflow 62 bits; store smaller shifts")
        values = core.astype(np.int64) << by_coefficient
    for dimension, axis in enumerate(axes):
        values = axis.to_newton(values, dimension)
    return _frozen(values.astype(core.dtype) if core.dtype == np.float32 else values)


def _shifts(shifts: np.ndarray, families: tuple[int, ...], bits: int) -> np.ndarray:
    if shifts.shape != families:
        raise ProgramError(f"shifts have shape {shifts.shape}, the families of coefficients want {families}")
    if shifts.size and (shifts.min() < 0 or shifts.max() > LARGEST_SHIFT):
        raise ProgramError(f"shifts from {shifts.min()} to {shifts.max()}; 0 to {LARGEST_SHIFT} are possible")
    if bits == FLOAT_BITS and shifts.any():
        raise ProgramError("float coefficients have no shifts")
    return shifts.astype(np.uint8)


def _frozen(array: np.ndarray) -> np.ndarray:
    array = np.array(array)
    array.flags.writeable = False
    return array
