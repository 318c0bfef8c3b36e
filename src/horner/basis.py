"""Newton bases of a weight axis, and the sums they share: gather and spread by additions alone.

An axis of `length` positions is cut into segments; on each segment the weights follow
``c0 + c1 t + c2 t (t - 1) / 2`` at integer nodes ``t``. Coefficients are stored in an orthogonal basis of the same
polynomials (`Axis.stored`), so that each can be rounded by itself, and become Newton's exactly (`Axis.to_newton`)
before anything is computed with them. `gather` multiplies by the transposed basis,
`spread` by the basis itself; both use nothing but additions, subtractions and left shifts, so they
work on whatever has those: Python integers, NumPy arrays, counting numbers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from horner.errors import PlanError

Nodes = Literal["index", "pow2"]
T = TypeVar("T")

LONGEST = 1 << 16
"""Positions an axis may have."""

LONGEST_POW2 = 16
"""Positions a `pow2` segment may have: node 15 is 2**14, its quadratic basis value 2**27."""


@dataclass(frozen=True)
class Axis:
    """How one axis of a weight tensor is stored: dense, or as polynomials over segments.

    Parameters
    ----------
    length
        Positions along the axis, at least 1.
    segment
        Positions per segment; the last segment may be shorter. The whole axis when None.
    degree
        0 (constant), 1 (linear), 2 (quadratic), or None for an axis left as it is.
    nodes
        `index` (0, 1, 2, 3, ...) or `pow2` (0, 1, 2, 4, ...).

    Examples
    --------
    >>> axis = Axis(6, segment=4, degree=1)
    >>> axis.coefficients, axis.orders.tolist()
    (4, [0, 1, 0, 1])
    >>> axis.matrix.tolist()[3]
    [1, 3, 0, 0]
    """

    length: int
    segment: int | None = None
    degree: int | None = None
    nodes: Nodes = "index"

    def __post_init__(self) -> None:
        if not 1 <= self.length <= LONGEST:
            raise PlanError(f"an axis has 1 to {LONGEST} positions, not {self.length}")
        if self.segment is not None and self.segment < 1:
            raise PlanError(f"a segment needs at least one position, not {self.segment}")
        if self.degree not in (None, 0, 1, 2):
            raise PlanError(f"degree {self.degree} is not one of 0, 1, 2")
        if self.nodes not in ("index", "pow2"):
            raise PlanError(f"nodes {self.nodes!r} are not one of 'index', 'pow2'")
        longest = min(self.segment or self.length, self.length)
        # one form for one meaning, so that equal axes compare equal
        if not self.degree:
            object.__setattr__(self, "nodes", "index")
        if self.degree is None:
            longest = self.length
        object.__setattr__(self, "segment", longest)
        if self.nodes == "pow2" and longest > LONGEST_POW2:
            raise PlanError(f"pow2 nodes need segments of at most {LONGEST_POW2} positions, not {longest}")

    @property
    def dense(self) -> bool:
        """Whether every position keeps its own weight."""
        return self.degree is None

    @property
    def pieces(self) -> tuple[tuple[int, int], ...]:
        """Start and length of every segment, in order."""
        assert self.segment is not None
        step = 1 if self.dense else self.segment
        return tuple((start, min(step, self.length - start)) for start in range(0, self.length, step))

    @property
    def orders(self) -> np.ndarray:
        """The order (0, 1 or 2) of every coefficient, segment by segment, uint8."""
        if self.degree is None or self.segment is None:
            return np.zeros(self.length, np.uint8)
        whole, rest = divmod(self.length, self.segment)
        parts = [np.tile(np.arange(self._terms(self.segment)), whole), np.arange(self._terms(rest))]
        return np.concatenate(parts).astype(np.uint8)

    @property
    def coefficients(self) -> int:
        """Coefficients stored along this axis."""
        if self.degree is None or self.segment is None:
            return self.length
        whole, rest = divmod(self.length, self.segment)
        return whole * self._terms(self.segment) + self._terms(rest)

    @functools.cached_property
    def matrix(self) -> np.ndarray:
        """The basis, int64 ``(length, coefficients)``: weights = matrix @ coefficients."""
        return evaluate(np.eye(self.coefficients, dtype=np.int64), self, 0)

    @property
    def runs(self) -> tuple[tuple[int, int, int], ...]:
        """How many segments there are of every size, with that size and its coefficients: at most two entries."""
        if self.degree is None or self.segment is None:
            return ((self.length, 1, 1),)
        whole, rest = divmod(self.length, self.segment)
        runs = ((whole, self.segment, self._terms(self.segment)), (1, rest, self._terms(rest)))
        return runs[: 1 + (rest > 0)]

    @property
    def stored(self) -> np.ndarray:
        """The basis that coefficients are stored in, int64 ``(length, coefficients)``: `matrix` times `to_newton`.

        On index nodes Gram's discrete orthogonal polynomials, so that rounding one coefficient disturbs no other;
        on pow2 nodes Newton's own.
        """
        return self.matrix @ self.to_newton(np.eye(self.coefficients, dtype=np.int64), 0)

    def to_newton(self, values: np.ndarray, at: int) -> np.ndarray:
        """Turn stored coefficients along dimension `at` into Newton's: integers stay integers, nothing is rounded.

        Examples
        --------
        >>> Axis(4, degree=1).to_newton(np.array([10, 1]), 0).tolist()
        [7, 2]
        """
        if self.degree in (None, 0) or self.nodes == "pow2":
            return values
        assert self.segment is not None
        moved = np.moveaxis(values, at, 0)
        whole, rest = divmod(self.length, self.segment)
        parts, first = [], 0
        for count, size in ((whole, self.segment), (1, rest))[: 2 if rest else 1]:
            terms = self._terms(size)
            part = moved[first : first + count * terms].reshape(count, terms, math.prod(moved.shape[1:]))
            parts.append((gram(size, terms).astype(values.dtype) @ part).reshape(count * terms, *moved.shape[1:]))
            first += count * terms
        return np.moveaxis(np.concatenate(parts), 0, at)

    @property
    def gather_additions(self) -> int:
        """Additions (and subtractions) of one `gather`."""
        return sum(_gather_cost(size, self._terms(size), self._scheme(size)) for _, size in self.pieces)

    @property
    def spread_additions(self) -> int:
        """Additions (and subtractions) of one `spread`."""
        return sum(_spread_cost(size, self._terms(size), self._scheme(size)) for _, size in self.pieces)

    def gather(self, values: Sequence[T]) -> list[T]:
        """Multiply by the transposed basis: ``length`` values become ``coefficients`` sums.

        Examples
        --------
        >>> Axis(4, degree=2).gather([5, 6, 7, 8])
        [26, 44, 31]
        """
        self._expect(values, self.length, "gather")
        sums: list[T] = []
        for start, size in self.pieces:
            run = list(values[start : start + size])
            sums += _GATHER[self._scheme(size)](run, self._terms(size))
        return sums

    def spread(self, coefficients: Sequence[T]) -> list[T]:
        """Multiply by the basis: ``coefficients`` values become ``length`` weights or outputs.

        Examples
        --------
        >>> Axis(4, degree=2).spread([10, 1, 2])
        [10, 11, 14, 19]
        """
        self._expect(coefficients, self.coefficients, "spread")
        values: list[T] = []
        first = 0
        for _, size in self.pieces:
            terms = self._terms(size)
            values += _SPREAD[self._scheme(size)](list(coefficients[first : first + terms]), size)
            first += terms
        return values

    def __str__(self) -> str:
        if self.degree is None:
            return "dense"
        text = ("constant", "linear", "quadratic")[self.degree]
        if self.segment != self.length:
            text += f"/{self.segment}"
        return text + ("@pow2" if self.nodes == "pow2" else "")

    def _terms(self, size: int) -> int:
        return 1 if self.degree is None else min(self.degree + 1, size)

    def _scheme(self, size: int) -> Nodes:
        return self.nodes if size > 3 else "index"  # the nodes 0, 1, 2 are the same in both

    def _expect(self, values: Sequence[Any], wanted: int, verb: str) -> None:
        if len(values) != wanted:
            raise ValueError(f"{verb} over {self} of length {self.length} takes {wanted} values, got {len(values)}")


def nodes(size: int, kind: Nodes) -> tuple[int, ...]:
    """Return the nodes of a segment: 0, 1, 2, 3, ... or 0, 1, 2, 4, ...

    >>> nodes(5, "pow2")
    (0, 1, 2, 4, 8)
    """
    return tuple(range(size)) if kind == "index" else tuple(0 if t == 0 else 1 << (t - 1) for t in range(size))


@functools.cache
def gram(size: int, terms: int) -> np.ndarray:
    """Return the Newton coefficients of Gram's orthogonal polynomials on ``0..size-1``, a column each.

    The smallest integer multiples, leading coefficient positive (the discrete Chebyshev polynomials).

    Examples
    --------
    >>> gram(5, 3).tolist()  # 1; t - 2; and t (t - 1) - 3 t + 2, that is 2, -1, -2, -1, 2
    [[1, -2, 2], [0, 1, -3], [0, 0, 2]]
    """
    g = size
    columns = [[1, 0, 0], [1 - g, 2, 0], [(g - 1) * (g - 2), -6 * (g - 2), 12]]
    return np.array([[n // math.gcd(*column) for n in column][:terms] for column in columns[:terms]], np.int64).T


def gather(array: Any, axis: Axis, at: int) -> Any:
    """Gather along dimension `at` of an array: size `axis.length` becomes `axis.coefficients`."""
    return array if axis.dense else _along(array, axis.gather, at)


def spread(array: Any, axis: Axis, at: int) -> Any:
    """Spread along dimension `at` of an array: size `axis.coefficients` becomes `axis.length`."""
    return array if axis.dense else _along(array, axis.spread, at)


def evaluate(array: np.ndarray, axis: Axis, at: int) -> np.ndarray:
    """Multiply by the basis along dimension `at`, as `spread` does, but every position at once.

    Integers wrap as int64; floats are summed in float64 and rounded to the array's type.

    Examples
    --------
    >>> evaluate(np.array([10, 1, 2]), Axis(4, degree=2), 0).tolist()
    [10, 11, 14, 19]
    """
    if axis.dense:
        return array
    moved = np.moveaxis(array, at, -1)
    parts, first = [], 0
    for count, size, terms in axis.runs:
        node = np.arange(size) if axis.nodes == "index" else np.array(nodes(size, axis.nodes), np.int64)
        basis = np.stack([np.ones_like(node), node, node * (node - 1) // 2])[:terms]
        block = moved[..., first : first + count * terms].reshape(*moved.shape[:-1], count, terms)
        parts.append((block @ basis).reshape(*moved.shape[:-1], count * size))
        first += count * terms
    values = np.moveaxis(np.concatenate(parts, -1), -1, at)
    return values.astype(array.dtype) if array.dtype.kind == "f" else values


def _along(array: Any, operation: Any, at: int) -> Any:
    columns = [array[(slice(None),) * at + (i,)] for i in range(array.shape[at])]
    results = operation(columns)
    return _stack(results, at)


def _stack(arrays: list[Any], at: int) -> Any:
    stack = getattr(type(arrays[0]), "stack", None)  # array-likes may bring their own
    return stack(arrays, at) if stack else np.stack(arrays, at)


def _double(value: Any, times: int) -> Any:
    """Multiply by ``2**times``: a shift of integers, an exponent of floats."""
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return value * 2.0**times if kind == "f" or isinstance(value, float) else value << times


def _suffix_sums(values: list[Any]) -> list[Any]:
    sums = values[-1:]
    for value in reversed(values[:-1]):
        sums.append(value + sums[-1])
    return sums[::-1]


def _gather_index(values: list[Any], terms: int) -> list[Any]:
    """Cascade suffix sums: the first of the k-th cascade is the sum of order k."""
    sums = []
    for order in range(terms):
        values = _suffix_sums(values if order == 0 else values[1:])
        sums.append(values[0])
    return sums


def _spread_index(coefficients: list[Any], size: int) -> list[Any]:
    """Step the difference engine: y grows by d, d grows by q."""
    y, *rest = coefficients
    values = [y]
    d, q = (*rest, None, None)[:2]
    for step in range(size - 1):
        if q is not None and step > 0:
            d = d + q
        if d is not None:
            y = y + d
        values.append(y)
    return values


def _horner(values: list[Any], shift: int) -> Any:
    """Evaluate ``v0 + 2**shift (v1 + 2**shift (v2 + ...))``."""
    total = values[-1]
    for value in reversed(values[:-1]):
        total = value + _double(total, shift)
    return total


def _gather_pow2(values: list[Any], terms: int) -> list[Any]:
    sums = [_suffix_sums(values)[0]]
    if terms > 1:
        tail = _horner(values[2:], 1)
        sums.append(values[1] + _double(tail, 1))
        if terms > 2:  # p (p - 1) / 2 at p = 2**k is 2**(2k - 1) - 2**(k - 1)
            sums.append(_double(_horner(values[2:], 2), 1) - tail)
    return sums


def _spread_pow2(coefficients: list[Any], size: int) -> list[Any]:
    if len(coefficients) == 1:
        return coefficients * size
    a, d, *rest = coefficients
    if not rest:
        return [a, *(a + _double(d, k) for k in range(size - 1))]
    q = rest[0]
    slope = _double(d, 1) - q
    steps = ((a + _double(slope, k - 1)) + _double(q, 2 * k - 1) for k in range(1, size - 1))
    return [a, a + d, *steps]


def _gather_cost(size: int, terms: int, scheme: Nodes) -> int:
    if scheme == "index":
        return sum(max(size - 1 - order, 0) for order in range(terms))
    return (size - 1) + (terms - 1) * (size - 2)


def _spread_cost(size: int, terms: int, scheme: Nodes) -> int:
    if terms == 1:
        return 0
    if terms == 2:
        return size - 1
    return (size - 1) + (size - 2) if scheme == "index" else 2 * (size - 1)


_GATHER = {"index": _gather_index, "pow2": _gather_pow2}
_SPREAD = {"index": _spread_index, "pow2": _spread_pow2}
