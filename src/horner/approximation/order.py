"""The order of channels that a positional fit likes best: what an order costs, and a search for a cheap one.

The squared error of a least-squares fit along an axis is, segment by segment, ``sum_pq R[p, q] <w_p, w_q>`` with
``R = 1 - Q Q^T`` of the segment's basis and ``w_p`` the weights at position ``p`` projected onto the bases of the
other axes. All inner products are computed once; what any swap of two channels changes is then exact and cheap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from horner.approximation.positional import blocks
from horner.approximation.spaces import Space, owner
from horner.basis import Axis
from horner.frontend.fold import Norm
from horner.plan import AxisPlan, LayerPlan

LONGEST = 2048
"""Positions of an axis whose inner products are still computed."""

MOST_SWEEPS = 60


@dataclass(frozen=True, eq=False)
class View:
    """How one tensor sees a group of channels.

    Parameters
    ----------
    gram
        Inner products of its weights along the axis, ``(length, length)``, over their total: errors are relative.
    residual
        `R`, ``(length, length)``, block diagonal.
    rows
        The weights at each of the group's channels, ``(size, features)``.
    first
        Where the group starts along the axis.
    """

    gram: np.ndarray
    residual: np.ndarray
    rows: np.ndarray
    first: int

    def error(self, order: np.ndarray) -> float:
        """Return the relative squared error of the fit with the group's channels in an order."""
        places = self._places(order)
        return float((self.residual * self.gram[np.ix_(places, places)]).sum())

    def costs(self, order: np.ndarray) -> np.ndarray:
        """Return what each channel (column) would cost in each place (row), the others staying, ``(size, size)``."""
        part = slice(self.first, self.first + len(order))
        own = np.diag(self.residual)[part]
        others = self.residual[part].copy()
        others[np.arange(len(order)), np.arange(part.start, part.stop)] = 0.0
        costs = 2 * others @ self.gram[self._places(order), part] + own[:, None] * np.diag(self.gram)[part]
        return np.asarray(costs)

    def _places(self, order: np.ndarray) -> np.ndarray:
        places = np.arange(len(self.gram))
        places[self.first : self.first + len(order)] = self.first + order
        return places


def views(model: nn.Module, space: Space, plans: Mapping[str, LayerPlan]) -> list[View]:
    """Return how every tensor that is approximated along a group's channels sees them."""
    found = []
    for path in space.outs:
        module, plan = owner(model, path), plans[path]
        found.append(_view(module.weight, plan, 0, 0, space.size))
        found += _vector_views(model, space, path, plan)
    for path, first, positions in space.readers:
        module, plan = owner(model, path), plans[path]
        if positions == 1 or plan.view(tuple(module.weight.shape))[2:] != (1, 1):
            found.append(_view(module.weight, plan, 1, first, space.size))
    return [view for view in found if view is not None]


def best_order(size: int, seen: Sequence[View]) -> np.ndarray:
    """Return the order of least error found; the one that is where none is better."""
    as_it_is = np.arange(size)
    if not seen:
        return as_it_is

    def error(order: np.ndarray) -> float:
        return sum(view.error(order) for view in seen)

    features = np.concatenate([view.rows for view in seen], 1)
    vectors = [view.rows[:, 0] for view in seen if view.rows.shape[1] == 1]
    starts = [as_it_is, _principal(features), _chain(features), *(np.argsort(v, kind="stable") for v in vectors)]
    order = min(starts, key=error)
    least = error(order)
    for _ in range(MOST_SWEEPS):
        swapped = _swap(order, seen)
        if swapped is None or error(swapped) >= least * (1 - 1e-6):
            break
        order, least = swapped, error(swapped)
    return order if least < error(as_it_is) * (1 - 1e-6) else as_it_is


def _swap(order: np.ndarray, seen: Sequence[View]) -> np.ndarray | None:
    """Make the swaps that gain most, at most one for every segment; None where none gains."""
    size = len(order)
    gain = np.zeros((size, size))
    touch = np.eye(size, dtype=bool)  # places whose costs depend on each other
    for view in seen:
        part = slice(view.first, view.first + size)
        costs = view.costs(order)[:, order]
        here = np.diag(costs)
        change = costs + costs.T - here[:, None] - here[None, :]
        within = view.residual[part, part]
        gram = view.gram[part, part][np.ix_(order, order)]
        norms = np.diag(gram)
        gain -= change - 2 * within * (norms[:, None] + norms[None, :] - 2 * gram)
        touch |= within != 0
    rows, columns = np.triu_indices(size, 1)
    gains = gain[rows, columns]
    worth = gains > 1e-9
    rows, columns, gains = rows[worth], columns[worth], gains[worth]
    free = np.ones(size, bool)
    swapped = order.copy()
    for at in np.argsort(-gains, kind="stable"):
        i, j = rows[at], columns[at]
        near = touch[i] | touch[j]
        if free[near].all():
            swapped[[i, j]] = swapped[[j, i]]
            free[near] = False
            if not free.any():
                break
    return None if (swapped == order).all() else swapped


def _view(weight: nn.Parameter, plan: LayerPlan, dimension: int, first: int, size: int) -> View | None:
    """The view of a layer's weight along its filters (0) or channels (1)."""
    axes = plan.axes(tuple(weight.shape))
    if axes[dimension].dense or axes[dimension].length > LONGEST:
        return None
    values = weight.detach().double().cpu().numpy().reshape(plan.view(tuple(weight.shape)))
    total = float((values**2).sum())
    for at, axis in enumerate(axes):
        if at != dimension:
            values = _project(values, axis, at)
    return _of(
        np.moveaxis(values, dimension, 0).reshape(axes[dimension].length, -1), axes[dimension], total, first, size
    )


def _vector_views(model: nn.Module, space: Space, path: str, plan: LayerPlan) -> list[View | None]:
    """The views of the bias and the scale that batch norm leaves, where they follow a polynomial too."""
    module = owner(model, path)
    own = module.bias.detach().double().cpu().numpy() if module.bias is not None else np.zeros(space.size)
    bias, scale = own, None
    norms = [norm for norm, first, positions in space.norms if first == 0 and positions == 1]
    if norms and len(space.outs) == 1:
        norm = Norm.of(owner(model, norms[0]), owner(model, norms[0]).eps)
        scale, mean, offset = (t.cpu().numpy() for t in (norm.scale, norm.mean, norm.offset))
        bias = own - mean + offset / np.where(scale == 0, np.inf, scale)
    vectors: list[tuple[np.ndarray | None, AxisPlan | None]] = [(bias, plan.bias), (scale, plan.scale)]
    return [
        _of(values[:, None], axis.axis(space.size), float((values**2).sum()), 0, space.size)
        for values, axis in vectors
        if values is not None and axis is not None
    ]


def _of(rows: np.ndarray, axis: Axis, total: float, first: int, size: int) -> View:
    rows = rows / (np.sqrt(total) or 1.0)
    residual = np.zeros((axis.length, axis.length))
    start = 0
    for block in blocks(axis):
        part = np.eye(len(block.q)) - block.q @ block.q.T
        for _ in range(block.count):
            residual[start : start + len(part), start : start + len(part)] = part
            start += len(part)
    return View(rows @ rows.T, residual, rows[first : first + size], first)


def _project(values: np.ndarray, axis: Axis, at: int) -> np.ndarray:
    """Return the coordinates of values along dimension `at` in the axis's orthonormal basis."""
    if axis.dense:
        return values
    moved = np.moveaxis(values, at, -1)
    parts, start = [], 0
    for block in blocks(axis):
        size, terms = block.q.shape
        part = moved[..., start : start + block.count * size].reshape(*moved.shape[:-1], block.count, size)
        parts.append((part @ block.q).reshape(*moved.shape[:-1], block.count * terms))
        start += block.count * size
    return np.moveaxis(np.concatenate(parts, -1), -1, at)


def _principal(features: np.ndarray) -> np.ndarray:
    """Order along the first principal component."""
    centred = features - features.mean(0)
    left, *_ = np.linalg.svd(centred @ centred.T)
    return np.argsort(left[:, 0], kind="stable")


def _chain(features: np.ndarray) -> np.ndarray:
    """Order along a chain of nearest neighbours, from one end of the first principal component."""
    square = (features**2).sum(1)
    distance = square[:, None] + square[None, :] - 2 * features @ features.T
    here = int(_principal(features)[0])
    order = [here]
    left = np.ones(len(features), bool)
    left[here] = False
    while left.any():
        here = int(np.where(left, distance[here], np.inf).argmin())
        order.append(here)
        left[here] = False
    return np.array(order)
