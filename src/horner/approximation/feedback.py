"""Levels of ranked weights chosen for the layer's output: a rounding error is fed back to weights not yet chosen.

Frantar, Ashkboos, Hoefler and Alistarh, "GPTQ: Accurate post-training quantization for generative pre-trained
transformers" (ICLR 2023): going through the inputs one by one, the weights of all filters at that input are rounded,
and the weights at the inputs still to come are moved to where they make the error in the output good best. Passes of
coordinate descent follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 128
"""Inputs whose errors reach the weights beyond them together."""


@dataclass(frozen=True)
class Codebook:
    """The weight of every level, where one level ends and the next begins, and the levels from low to high.

    Parameters
    ----------
    table, order
        ``(curves, levels)``: one row for all filters, or a row for each.
    bounds
        ``(curves, levels - 1)``.
    """

    table: Tensor
    bounds: Tensor
    order: Tensor

    def __call__(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the levels that a value of every filter takes, and their weights, all ``(filters,)``."""
        rows = values.reshape(len(self.table), -1).contiguous()
        levels = self.order.gather(1, torch.searchsorted(self.bounds, rows))
        return levels.flatten(), self.table.gather(1, levels).flatten()


def assign(wanted: Tensor, square: Tensor, codebook: Codebook, passes: int = 2) -> Tensor:
    """Return levels that make little error in the output, int64, in the shape of `wanted`.

    Parameters
    ----------
    wanted
        The real weights, ``(groups, filters of a group, features)``.
    square
        Second moments of the inputs, ``(groups, features, features)``, positive definite.
    passes
        Of coordinate descent over all features.
    """
    groups, filters, features = wanted.shape
    order = square.diagonal(dim1=1, dim2=2).argsort(1, descending=True)  # where an error costs most, comes first
    square = square.gather(1, order[:, :, None].expand_as(square)).gather(2, order[:, None].expand_as(square))
    wanted = wanted.gather(2, order[:, None].expand_as(wanted))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(square))
    factor = torch.linalg.cholesky(inverse, upper=True)
    rest, rounded = wanted.clone(), torch.empty_like(wanted)
    levels = torch.empty(wanted.shape, dtype=torch.int64, device=wanted.device)
    for start in range(0, features, BLOCK):
        stop = min(start + BLOCK, features)
        errors = wanted.new_empty(groups, filters, stop - start)
        for at in range(start, stop):
            level, value = codebook(rest[..., at].flatten())
            levels[..., at], rounded[..., at] = level.reshape(groups, filters), value.reshape(groups, filters)
            error = (rest[..., at] - rounded[..., at]) / factor[:, at, at, None]
            rest[..., at + 1 : stop] -= error[..., None] * factor[:, None, at, at + 1 : stop]
            errors[..., at - start] = error
        rest[..., stop:] -= errors @ factor[:, start:stop, stop:]
    for _ in range(passes):
        _descend(levels, rounded, wanted, square, codebook)
    return torch.empty_like(levels).scatter_(2, order[:, None].expand_as(levels), levels)


def _descend(levels: Tensor, rounded: Tensor, wanted: Tensor, square: Tensor, codebook: Codebook) -> None:
    """Choose every weight's level anew, given all others."""
    groups, filters, features = wanted.shape
    diagonal = square.diagonal(dim1=1, dim2=2)
    for start in range(0, features, BLOCK):
        stop = min(start + BLOCK, features)
        slope = (rounded - wanted) @ square[..., start:stop]  # half the gradient of the error
        for at in range(start, stop):
            best = rounded[..., at] - slope[..., at - start] / diagonal[:, at, None]
            level, value = codebook(best.flatten())
            moved = value.reshape(groups, filters) - rounded[..., at]
            levels[..., at], rounded[..., at] = level.reshape(groups, filters), value.reshape(groups, filters)
            slope += moved[..., None] * square[:, None, at, start:stop]
