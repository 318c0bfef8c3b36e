"""Weights that follow their position: trained as coordinates in orthonormal bases, stored as Newton coefficients."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from horner.basis import Axis
from horner.program.schedule import AXES


@dataclass(frozen=True, eq=False)
class Block:
    """The segments of an axis that have the same length, and the QR factors of their common basis (float64).

    Parameters
    ----------
    count
        Segments.
    q
        ``(positions, terms)``, orthonormal columns.
    r
        ``(terms, terms)``, upper triangular with a positive diagonal; the segment's Newton basis is ``q @ r``.
    """

    count: int
    q: np.ndarray
    r: np.ndarray


@functools.cache
def blocks(axis: Axis) -> tuple[Block, ...]:
    """Factor the basis of an axis: whole segments first, then the shorter last one if there is one.

    >>> [(block.count, block.q.shape) for block in blocks(Axis(10, segment=4, degree=1))]
    [(2, (4, 2)), (1, (2, 2))]
    """
    found = []
    for size in dict.fromkeys(size for _, size in axis.pieces):
        count = sum(size == other for _, other in axis.pieces)
        q, r = np.linalg.qr(Axis(size, degree=axis.degree, nodes=axis.nodes).matrix.astype(np.float64))
        sign = np.sign(np.diag(r))
        found.append(Block(count, q * sign, r * sign[:, None]))
    return tuple(found)


def multiply(values: Tensor, at: int, parts: Sequence[tuple[Tensor, int]]) -> Tensor:
    """Multiply dimension `at` by a block-diagonal matrix, given as (block, how often) in order.

    Examples
    --------
    >>> multiply(torch.tensor([1.0, 2.0, 3.0]), 0, [(torch.ones(2, 1), 3)])
    tensor([1., 1., 2., 2., 3., 3.])
    """
    before, after = values.shape[:at], values.shape[at + 1 :]
    rows, columns = math.prod(before), math.prod(after)
    results, start = [], 0
    for block, count in parts:
        size = count * block.shape[1]
        part = values.narrow(at, start, size)
        if columns == 1:
            part = part.reshape(rows * count, block.shape[1]) @ block.T
        else:
            part = block @ part.reshape(rows * count, block.shape[1], columns)
        results.append(part.reshape(*before, count * block.shape[0], *after))
        start += size
    return results[0] if len(results) == 1 else torch.cat(results, at)


class PositionalWeight(nn.Module):
    """A parametrization (`torch.nn.utils.parametrize`) of a tensor by polynomials along its axes.

    The tensor is ``theta x_0 Q_0 x_1 Q_1 ...`` with orthonormal ``Q``, so that training `theta` is as well
    conditioned as training the tensor itself; `coefficients` are the Newton coefficients of the same tensor.
    Expanding is done in float32 (float64 for a float64 `theta`), under autocast too.

    Parameters
    ----------
    axes
        The basis of each dimension of the tensor as the plan reads it.
    shape
        The tensor's own shape, of as many elements; the axes' lengths when None.

    Examples
    --------
    >>> weight = PositionalWeight([Axis(2), Axis(4, degree=1)])
    >>> ramp = torch.tensor([[1.0, 2.0, 3.0, 4.0], [4.0, 2.0, 0.0, -2.0]])
    >>> theta = weight.right_inverse(ramp)
    >>> torch.allclose(weight(theta), ramp)
    True
    >>> weight.coefficients(theta).round(decimals=4).tolist()
    [[1.0, 1.0], [4.0, -2.0]]
    """

    def __init__(self, axes: Sequence[Axis], shape: Sequence[int] | None = None) -> None:
        super().__init__()
        self.axes = tuple(axes)
        self.shape = tuple(shape or self.view)
        if math.prod(self.shape) != math.prod(self.view):
            raise ValueError(f"a tensor of shape {self.shape} cannot be read as {self.view}")
        for at, axis in self._approximated:
            for number, block in enumerate(blocks(axis)):
                self.register_buffer(f"q{at}_{number}", torch.tensor(block.q, dtype=torch.float32), persistent=False)

    @property
    def view(self) -> tuple[int, ...]:
        """The shape that the axes read the tensor as."""
        return tuple(axis.length for axis in self.axes)

    @property
    def core(self) -> tuple[int, ...]:
        """The shape of `theta` and of the coefficients."""
        return tuple(axis.coefficients for axis in self.axes)

    def forward(self, theta: Tensor) -> Tensor:
        """Coordinates, shape `core`, to the tensor, shape `shape`."""
        with full_precision(theta):
            values = theta.to(working_dtype(theta))
            for at, axis in reversed(self._approximated):  # the last dimensions first: products of few, large blocks
                values = multiply(values, at, self._q(at, axis, values.dtype))
            return values.reshape(self.shape).to(theta.dtype)

    def expand(self, coefficients: Tensor, theta: Tensor) -> Tensor:
        """Newton coefficients to the tensor, in the type of `theta` (whose values do not matter)."""
        return self(self.theta(coefficients).to(theta.dtype))

    def project(self, values: Tensor, at: int, dimension: int | None = None) -> Tensor:
        """Multiply a dimension by the transposed orthonormal basis of axis `at`."""
        axis = self.axes[at]
        if axis.dense:
            return values
        parts = [(q.T, count) for q, count in self._q(at, axis, values.dtype)]
        return multiply(values, at if dimension is None else dimension, parts)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the least-squares fit to a tensor of shape `shape`: the coordinates nearest to it."""
        values = weight.detach().double().reshape(self.view)
        return self._multiply(values, lambda block: block.q.T).to(weight.dtype)

    def coefficients(self, theta: Tensor) -> Tensor:
        """Return the Newton coefficients of coordinates, float64, differentiable; both of shape `core`."""
        return self._multiply(theta.double(), lambda block: np.linalg.inv(block.r))

    def theta(self, coefficients: Tensor) -> Tensor:
        """Return the coordinates of Newton coefficients, float64; the inverse of `coefficients`."""
        return self._multiply(coefficients.double(), lambda block: block.r)

    def extra_repr(self) -> str:
        """The axes, and the tensor's shape."""
        names: Sequence[Any] = AXES if len(self.axes) == len(AXES) else range(len(self.axes))
        return ", ".join([*(f"{names[at]}={axis}" for at, axis in self._approximated), f"shape={self.shape}"])

    @property
    def _approximated(self) -> list[tuple[int, Axis]]:
        return [(at, axis) for at, axis in enumerate(self.axes) if not axis.dense]

    def _q(self, at: int, axis: Axis, dtype: torch.dtype) -> list[tuple[Tensor, int]]:
        return [(getattr(self, f"q{at}_{n}").to(dtype), block.count) for n, block in enumerate(blocks(axis))]

    def _multiply(self, values: Tensor, matrix: Callable[[Block], np.ndarray]) -> Tensor:
        """Multiply every approximated dimension by a matrix of its blocks, in float64."""
        with full_precision(values):
            for at, axis in self._approximated:
                parts = [(torch.tensor(matrix(b), device=values.device), b.count) for b in blocks(axis)]
                values = multiply(values, at, parts)
        return values

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PositionalWeight:
        """Move as modules do, but never round the bases: a half-precision model keeps them in float32."""
        super()._apply(fn, recurse)
        for at, axis in self._approximated:
            for number, block in enumerate(blocks(axis)):
                moved = getattr(self, f"q{at}_{number}")
                exact = torch.tensor(block.q, dtype=working_dtype(moved), device=moved.device)
                setattr(self, f"q{at}_{number}", exact)
        return self


def working_dtype(values: Tensor) -> torch.dtype:
    """float64 stays float64; all else is computed in float32."""
    return torch.float64 if values.dtype == torch.float64 else torch.float32


@contextlib.contextmanager
def full_precision(values: Tensor) -> Iterator[None]:
    """Suspend autocast on the device of `values`."""
    kind = values.device.type
    if torch.amp.is_autocast_available(kind):
        with torch.autocast(kind, enabled=False):
            yield
    else:
        yield
