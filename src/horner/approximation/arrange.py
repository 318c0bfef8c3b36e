"""Free arrangement: reorder filters, and with them the channels of whatever reads them, at no cost in storage.

Every activation's channels belong to *spaces*. A convolution opens a space; batch norm, pooling and clamps hand
it on; a residual addition ties two together; concatenation puts several side by side; flattening repeats each
channel over the map. A space that reaches the network's input or output stays as it is. Any other may be
permuted: its producers' filters, its norms and its readers' input channels move together, and the network
computes what it computed before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from horner.approximation.maps import feature_maps
from horner.basis import Axis
from horner.errors import ModelError
from horner.frontend.capture import capture
from horner.frontend.graph import BatchNorm, Concatenation, Convolution, Flattening, Graph, Linear, Node
from horner.plan import Plan

Apply = Callable[[np.ndarray], None]


@dataclass
class Space:
    """Channels that can only be permuted together, and everything that moves when they are."""

    size: int
    pinned: bool = False
    outs: list[str] = field(default_factory=list)
    """Modules whose filters make these channels."""
    readers: list[tuple[str, int, int]] = field(default_factory=list)
    """(module, first input channel, positions per channel) of what reads them."""
    norms: list[tuple[str, int]] = field(default_factory=list)
    """(batch norm, first channel)."""


def arrange_(model: nn.Module, images: torch.Tensor, plan: Plan | str | None = None) -> dict[str, np.ndarray]:
    """Reorder a model's filters in place so that a positional fit loses less; its output stays the same.

    Several orders are tried for every group of channels that move together (as they are, along the first principal
    component, along a chain of nearest neighbours, by bias), and the one whose least-squares fit under the plan
    has the smallest error is kept.

    Parameters
    ----------
    model
        Not yet approximated.
    images
        At least one image as the model takes them, for capturing the network.
    plan
        What the filters will be approximated by; linear segments of 4 filters when None.

    Returns
    -------
    dict
        For every module with filters that moved, the permutation: new filter ``i`` was filter ``order[i]``.

    Raises
    ------
    ModelError
        When a weight is already approximated, or the model cannot be captured.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten())
    >>> images = torch.rand(2, 1, 6, 6)
    >>> before = model(images)
    >>> moved = arrange_(model, images)
    >>> torch.allclose(model(images), before, atol=1e-5)
    True
    """
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module):
            raise ModelError(f"{name or 'the model'}: already approximated; arrange the filters before approximate_")
    matched = {} if plan is None else Plan.parse(plan).match(model, maps=feature_maps(model, images))
    moved: dict[str, np.ndarray] = {}
    for space in spaces(model, capture(model, images)):
        if space.pinned or space.size < 3 or not space.outs:
            continue
        order = _best_order(model, space, matched)
        if (order == np.arange(space.size)).all():
            continue
        _permute(model, space, order)
        moved.update(dict.fromkeys(space.outs, order))
    return moved


def spaces(model: nn.Module, graph: Graph) -> list[Space]:
    """Return the groups of channels of a network that can only move together."""
    return _Tracer(model, graph).trace()


class _Tracer:
    """Follows channels through the graph. A layout is a value's spaces in order, with positions per channel."""

    def __init__(self, model: nn.Module, graph: Graph) -> None:
        self.model, self.graph = model, graph
        self.spaces: list[Space] = []
        self.parent: list[int] = []

    def trace(self) -> list[Space]:
        layouts = [([self._open(self.graph.input[0], pinned=True)], 1)]
        seen: dict[str, int] = {}
        for node in self.graph.nodes:
            seen[node.path] = seen.get(node.path, 0) + isinstance(node.operation, Convolution | Linear | BatchNorm)
            layouts.append(self._follow(node, [layouts[i] for i in node.inputs]))
        for number in layouts[-1][0]:
            self.spaces[self._root(number)].pinned = True
        for path, times in seen.items():
            if times > 1:  # one module, several places: its channels cannot move for one of them alone
                self._pin_module(path)
        return [space for i, space in enumerate(self.spaces) if self._root(i) == i]

    def _follow(self, node: Node, layouts: list[tuple[list[int], int]]) -> tuple[list[int], int]:
        spaces, positions = layouts[0]
        operation = node.operation
        if isinstance(operation, Convolution | Linear):
            return self._convolve(node, spaces, positions), 1
        if isinstance(operation, BatchNorm):
            first = 0
            for number in spaces:
                if positions > 1:
                    self._space(number).pinned = True  # a norm per position, not per channel
                self._space(number).norms.append((node.path, first))
                first += self._space(number).size
            return spaces, positions
        if isinstance(operation, Concatenation):
            if len({p for _, p in layouts}) > 1:
                self._pin([number for numbers, _ in layouts for number in numbers])
            return [number for numbers, _ in layouts for number in numbers], positions
        if isinstance(operation, Flattening):
            _, rows, columns = self.graph.shape(node.inputs[0])
            return spaces, positions * rows * columns
        for others, _ in layouts[1:]:  # an addition; pooling and clamps have one input
            self._tie(spaces, others)
        return spaces, positions

    def _convolve(self, node: Node, spaces: list[int], positions: int) -> list[int]:
        operation, weight = node.operation, _owner(self.model, node.path).weight
        groups = operation.groups if isinstance(operation, Convolution) else 1
        out = len(weight)
        if groups > 1 and groups == out == sum(self._space(number).size for number in spaces) and len(spaces) == 1:
            self._space(spaces[0]).outs.append(node.path)  # depthwise: filters move with the channels they read
            return spaces
        if groups > 1:
            self._pin(spaces)
            return [self._open(out, pinned=True)]
        first = 0
        for number in spaces:
            self._space(number).readers.append((node.path, first, positions))
            first += self._space(number).size
        number = self._open(out)
        self._space(number).outs.append(node.path)
        return [number]

    def _open(self, size: int, pinned: bool = False) -> int:
        self.spaces.append(Space(size, pinned))
        self.parent.append(len(self.parent))
        return len(self.parent) - 1

    def _root(self, number: int) -> int:
        while self.parent[number] != number:
            number = self.parent[number]
        return number

    def _space(self, number: int) -> Space:
        return self.spaces[self._root(number)]

    def _pin(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._space(number).pinned = True

    def _pin_module(self, path: str) -> None:
        for i, space in enumerate(self.spaces):
            if self._root(i) == i and path in [
                *space.outs,
                *(r[0] for r in space.readers),
                *(n[0] for n in space.norms),
            ]:
                space.pinned = True

    def _tie(self, ones: list[int], others: list[int]) -> None:
        sizes = [[self._space(number).size for number in numbers] for numbers in (ones, others)]
        if sizes[0] != sizes[1]:
            self._pin([*ones, *others])
            return
        for one, other in zip(ones, others, strict=True):
            a, b = self._root(one), self._root(other)
            if a != b:
                kept, gone = self.spaces[a], self.spaces[b]
                kept.pinned |= gone.pinned
                kept.outs += gone.outs
                kept.readers += gone.readers
                kept.norms += gone.norms
                self.parent[b] = a


def _owner(model: nn.Module, path: str) -> Any:
    """Return the module at a path; its tensors are what is permuted."""
    return model.get_submodule(path)


def _permute(model: nn.Module, space: Space, order: np.ndarray) -> None:
    """Move filters, norms and input channels to a new order, in place."""
    index = torch.from_numpy(order)
    for path in space.outs:
        module = _owner(model, path)
        for tensor in (module.weight, module.bias):
            if tensor is not None:
                tensor.data = tensor.data[index.to(tensor.device)]
    for path, first in space.norms:
        norm = _owner(model, path)
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            if tensor is not None:
                part = tensor.data[first : first + space.size]
                part.copy_(part[index.to(part.device)].clone())
    for path, first, positions in space.readers:
        weight = _owner(model, path).weight
        part = weight.data[:, first * positions : (first + space.size) * positions]
        blocks = part.reshape(len(weight), space.size, positions, *weight.shape[2:])
        part.copy_(blocks[:, index.to(weight.device)].reshape(part.shape))


def _best_order(model: nn.Module, space: Space, plans: Mapping[str, object]) -> np.ndarray:
    """Try several orders; keep the one that the planned fit likes best."""
    made = [_owner(model, path).weight.detach().double().flatten(1).cpu().numpy() for path in space.outs]
    views = [(_axis(plans.get(path), "out", space.size), rows) for path, rows in zip(space.outs, made, strict=True)]
    for path, first, positions in space.readers:
        weight = _owner(model, path).weight.detach().double().flatten(1).cpu().numpy()
        per_channel = weight.shape[1] // max(_inputs(model, path), 1)
        block = weight[:, first * positions * per_channel : (first + space.size) * positions * per_channel]
        rows = block.reshape(len(weight), space.size, -1).transpose(1, 0, 2).reshape(space.size, -1)
        views.append((_axis(plans.get(path), "in_", space.size), rows))
    views = [(axis, rows) for axis, rows in views if not axis.dense]
    if not views:
        return np.arange(space.size)
    features = np.concatenate([rows / (np.linalg.norm(rows) or 1.0) for _, rows in views], 1)
    candidates = [np.arange(space.size), _principal(features), _chain(features)]
    bias = getattr(_owner(model, space.norms[0][0] if space.norms else space.outs[0]), "bias", None)
    if bias is not None and len(bias) == space.size:
        candidates.append(np.argsort(bias.detach().cpu().numpy(), kind="stable"))

    def error(order: np.ndarray) -> float:
        return sum(_residual(axis, rows[order]) / (float((rows**2).sum()) or 1.0) for axis, rows in views)

    return min(candidates, key=error)


def _axis(plan: object, name: str, size: int) -> Axis:
    """Return how a plan cuts the axis; linear segments of 4 where there is no plan."""
    if plan is None:
        return Axis(size, 4, 1)
    part = getattr(plan, name)
    return part.axis(size) if part is not None else Axis(size)


def _inputs(model: nn.Module, path: str) -> int:
    weight = _owner(model, path).weight
    return weight.shape[1]


def _residual(axis: Axis, rows: np.ndarray) -> float:
    """Squared error of the least-squares fit of rows ``(length, features)`` along an axis."""
    error = 0.0
    for start, size in axis.pieces:
        basis, _ = np.linalg.qr(Axis(size, degree=axis.degree, nodes=axis.nodes).matrix.astype(float))
        part = rows[start : start + size]
        error += float((part**2).sum() - ((basis.T @ part) ** 2).sum())
    return error


def _principal(features: np.ndarray) -> np.ndarray:
    """Order along the first principal component."""
    centred = features - features.mean(0)
    left, *_ = np.linalg.svd(centred @ centred.T)
    return np.argsort(left[:, 0], kind="stable")


def _chain(features: np.ndarray) -> np.ndarray:
    """Order along a chain of nearest neighbours, from one end of the first principal component."""
    square = (features**2).sum(1)
    distance = square[:, None] + square[None, :] - 2 * features @ features.T
    np.fill_diagonal(distance, np.inf)
    here = int(_principal(features)[0])
    order = [here]
    left = np.ones(len(features), bool)
    left[here] = False
    while left.any():
        here = int(np.where(left, distance[here], np.inf).argmin())
        order.append(here)
        left[here] = False
    return np.array(order)
