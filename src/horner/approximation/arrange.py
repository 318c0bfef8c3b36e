"""Free arrangement: reorder filters, and with them the channels of whatever reads them, at no cost in storage.

A group of channels that can only move together (`horner.approximation.spaces`) may be permuted: its producers'
filters, its norms and its readers' input channels move together, and the network computes what it computed before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from horner.approximation.maps import feature_maps
from horner.approximation.order import best_order, views
from horner.approximation.spaces import Space, owner, spaces
from horner.errors import ModelError
from horner.frontend.capture import capture
from horner.plan import Plan

DEFAULT = "out=linear/4 in=linear/4"


@torch.no_grad()
def arrange_(model: nn.Module, images: torch.Tensor, plan: Plan | str | None = None) -> dict[str, np.ndarray]:
    """Reorder a model's filters in place so that a positional fit loses less; its output stays the same.

    For every group of channels that move together, several orders are tried (as they are, along the first principal
    component, along a chain of nearest neighbours, by bias), and the best is improved by swaps for as long as the
    error of the least-squares fit under the plan goes down; the fit never gets worse.

    Parameters
    ----------
    model
        Not yet approximated.
    images
        At least one image as the model takes them, for capturing the network.
    plan
        What the filters will be approximated by; linear segments of 4 filters and 4 channels when None.

    Returns
    -------
    dict
        For every module with filters that moved, the permutation: new filter ``i`` was filter ``order[i]``.

    Raises
    ------
    ModelError
        When a weight is already approximated, or the model cannot be captured.
    PlanError
        When the plan does not fit the model.

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
            raise ModelError(
                f"{name or 'the model'} is approximated (or parametrized) already; arrange the filters before "
                f"approximate_"
            )
    parsed = Plan.parse(DEFAULT if plan is None else plan)
    graph = capture(model, images)
    plans = parsed.match(model, maps=feature_maps(model, images[None] if images.ndim == 3 else images[:1]))
    moved: dict[str, np.ndarray] = {}
    for space in spaces(model, graph):
        if space.pinned or space.size < 3 or not space.outs:
            continue
        order = best_order(space.size, views(model, space, plans))
        if (order == np.arange(space.size)).all():
            continue
        permute_(model, space, order)
        moved.update(dict.fromkeys(space.outs, order))
    return moved


def permute_(model: nn.Module, space: Space, order: np.ndarray) -> None:
    """Move filters, norms and input channels to a new order, in place."""
    index = torch.from_numpy(order)
    for path in space.outs:
        module = owner(model, path)
        for tensor in (module.weight, module.bias):
            _move(tensor, 0, 0, 1, index)
    for path, first, positions in space.norms:
        norm = owner(model, path)
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            _move(tensor, 0, first, positions, index)
    for path, first, positions in space.readers:
        _move(owner(model, path).weight, 1, first, positions, index)


def _move(tensor: torch.Tensor | None, dimension: int, first: int, positions: int, index: torch.Tensor) -> None:
    """Reorder `len(index)` blocks of `positions` entries along a dimension, from block `first` on."""
    if tensor is not None:
        values: Any = tensor.data
        part = values.narrow(dimension, first * positions, len(index) * positions)
        blocks = part.unflatten(dimension, (len(index), positions))
        part.copy_(blocks.index_select(dimension, index.to(values.device)).flatten(dimension, dimension + 1))
