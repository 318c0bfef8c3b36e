"""Weights that follow their position: trained as coordinates in orthonormal bases, stored as coefficients."""

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
    r, inverse
        ``(terms, terms)``, upper triangular with a positive diagonal, and its inverse; coefficients are stored in
        the basis ``q @ r``.
    """

    count: int
    q: np.ndarray
    r: np.ndarray
    inverse: np.ndarray


@functools.cache
def blocks(axis: Axis) -> tuple[Block, ...]:
    """Factor the basis of an axis: whole segments first, then the shorter last one if there is one.

    >>> [(block.count, block.q.shape) for block in blocks(Axis(10, segment=4, degree=1))]
    [(2, (4, 2)), (1, (2, 2))]
    """
    found = []
    for size in dict.fromkeys(size for _, size in axis.pieces):
        count = sum(size == other for _, other in axis.pieces)
        q, r = np.linalg.qr(Axis(size, degree=axis.degree, nodes=axis.nodes).stored.astype(np.float64))
        sign = np.sign(np.diag(r))
        q, r = q * sign, r * sign[:, None]
        found.append(Block(count, q, r, np.linalg.inv(r)))
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
    conditioned as training the tensor itself; `coefficients` are those that a program stores of the same tensor.
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
    >>> coefficients = weight.coefficients(theta)
    >>> coefficients.shape, torch.allclose(weight.expand(coefficients, theta), ramp)
    (torch.Size([2, 2]), True)
    """

    def __init__(self, axes: Sequence[Axis], shape: Sequence[int] | None = None) -> None:
        super().__init__()
        self.axes = tuple(axes)
        self.shape = tuple(shape or self.view)
        if math.prod(self.shape) != math.prod(self.view):
            raise ValueError(f"a tensor of shape {self.shape} cannot be read as {self.view}")
        self._counts = {at: [b.count for b in blocks(axis)] for at, axis in enumerate(self.axes) if not axis.dense}
        for name, exact in self._factors():
            self.register_buffer(name, exact.float() if name.startswith("q") else exact, persistent=False)

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
            for at in reversed(self._counts):  # the last dimensions first: products of few, large blocks
                values = self.expanded(values, at)
            return values.reshape(self.shape).to(theta.dtype)

    def expand(self, coefficients: Tensor, theta: Tensor) -> Tensor:
        """Coefficients to the tensor, in the type of `theta` (whose values do not matter)."""
        return self(self.theta(coefficients).to(theta.dtype))

    def expanded(self, values: Tensor, at: int) -> Tensor:
        """Multiply dimension `at` of coordinates by the orthonormal basis of that axis."""
        return multiply(values, at, self._parts("q", at, values.dtype)) if at in self._counts else values

    def basis(self, at: int) -> Tensor | None:
        """Return the orthonormal basis of axis `at`, ``(length, terms)``; None where it is left as it is."""
        if at not in self._counts:
            return None
        identity = torch.eye(self.core[at], device=getattr(self, f"q{at}_0").device)
        return multiply(identity, 0, self._parts("q", at, identity.dtype))

    def project(self, values: Tensor, at: int, dimension: int | None = None) -> Tensor:
        """Multiply a dimension by the transposed orthonormal basis of axis `at`."""
        if at not in self._counts:
            return values
        parts = [(q.T, count) for q, count in self._parts("q", at, values.dtype)]
        return multiply(values, at if dimension is None else dimension, parts)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the least-squares fit to a tensor of shape `shape`: the coordinates nearest to it."""
        values = weight.detach().double().reshape(self.view)
        for at in self._counts:
            exact = [(torch.tensor(b.q.T, device=weight.device), b.count) for b in blocks(self.axes[at])]
            values = multiply(values, at, exact)
        return values.to(weight.dtype)

    def coefficients(self, theta: Tensor) -> Tensor:
        """Return the coefficients as a program stores them, float64, differentiable; both of shape `core`."""
        return self._multiply("inverse", theta)

    def theta(self, coefficients: Tensor) -> Tensor:
        """Return the coordinates of coefficients, float64; the inverse of `coefficients`."""
        return self._multiply("r", coefficients)

    def extra_repr(self) -> str:
        """The axes, and the tensor's shape."""
        names: Sequence[Any] = AXES if len(self.axes) == len(AXES) else range(len(self.axes))
        return ", ".join([*(f"{names[at]}={self.axes[at]}" for at in self._counts), f"shape={self.shape}"])

    def _multiply(self, kind: str, values: Tensor) -> Tensor:
        """Multiply every approximated dimension by `r` or its inverse, in float64."""
        with full_precision(values):
            values = values.double()
            for at in self._counts:
                values = multiply(values, at, self._parts(kind, at, values.dtype))
        return values

    def _parts(self, kind: str, at: int, dtype: torch.dtype) -> list[tuple[Tensor, int]]:
        return [(getattr(self, f"{kind}{at}_{n}").to(dtype), count) for n, count in enumerate(self._counts[at])]

    def _factors(self) -> Iterator[tuple[str, Tensor]]:
        """Name and float64 value of every buffer; `q`, which training multiplies by, is held in its precision."""
        for at in self._counts:
            for n, block in enumerate(blocks(self.axes[at])):
                yield f"q{at}_{n}", torch.tensor(block.q)
                yield f"r{at}_{n}", torch.tensor(block.r)
                yield f"inverse{at}_{n}", torch.tensor(block.inverse)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PositionalWeight:
        """Move as modules do, but never round the bases: a half-precision model keeps them as they are."""
        super()._apply(fn, recurse)
        moved = dict(self.named_buffers(recurse=False))
        for name, exact in self._factors():
            dtype = working_dtype(moved[name]) if name.startswith("q") else torch.float64
            setattr(self, name, exact.to(moved[name].device, dtype))
        return self


def working_dtype(values: Tensor) -> torch.dtype:
    """float64 stays float64; all else is computed in float32."""
    return torch.float64 if values.dtype == torch.float64 else torch.float32


@contextlib.contextmanager
def full_precision(values: Tensor) -> Iterator[None]:
    """Suspend autocast on the device of `values`."""
    kind = values.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        with torch.autocast(kind, enabled=False):
            yield
    else:
        yield
