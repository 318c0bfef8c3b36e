"""What Horner's no-retraining mode is compared with: weights rounded to a uniform grid, and k-means weight sharing.

Both know nothing but the weights. What they store is counted as in a `.horner` file: the same arithmetic coder for the
integers (or plain bits where those are fewer), 16 bits for every scale and every entry of a codebook.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from horner.frontend.quantisers import best_step
from horner.program.arithmetic import Model, Signed, Unsigned, encode

VALUE_BITS = 16
"""Of a scale, or an entry of a codebook."""

ROUNDS = 100


@dataclass(frozen=True)
class Stored:
    """Weights as they are after rounding, and what storing them takes.

    Parameters
    ----------
    weight
        Real values, in the shape that they had.
    bits
        Everything: integers, scales, codebook.
    values
        Learned values other than levels: what the papers' coefficient ratio counts.
    """

    weight: Tensor
    bits: int
    values: int


def nearest(weight: Tensor, bits: int, per_channel: bool, scaled: bool) -> Stored:
    """Round to the nearest of ``2**bits - 1`` symmetric levels, one step for the tensor or one for each filter.

    Parameters
    ----------
    scaled
        Whether the layer has a multiplier per filter anyway, which then takes the filters' steps in for nothing.
    """
    most = (1 << bits - 1) - 1
    rows = weight.detach().double().reshape(len(weight) if per_channel else 1, -1)
    steps = torch.tensor([best_step(row, -most, most) for row in rows], dtype=torch.float64)[:, None]
    whole = (rows / steps).round().clamp(-most, most)
    scales = 0 if scaled or not per_channel else VALUE_BITS * len(steps)
    return Stored(
        (whole * steps).reshape(weight.shape).to(weight.dtype),
        run_bits(whole.numpy().astype(int).ravel(), bits, Signed) + scales,
        weight.numel(),
    )


def shared(weight: Tensor, clusters: int) -> Stored:
    """Replace every weight by the mean of its cluster (Han et al., "Deep compression", 2016): k-means, linear start."""
    values = np.sort(weight.detach().double().numpy().ravel())
    sums = np.concatenate([[0.0], values.cumsum()])
    centres = min(
        (_lloyd(values, sums, start) for start in _starts(values, clusters)), key=lambda c: _distortion(values, c)
    )
    flat = weight.detach().double().numpy().ravel()
    levels = np.searchsorted((centres[1:] + centres[:-1]) / 2, flat)
    return Stored(
        torch.from_numpy(centres[levels]).reshape(weight.shape).to(weight.dtype),
        run_bits(levels, max(1, (clusters - 1).bit_length()), Unsigned) + VALUE_BITS * len(centres),
        len(centres),
    )


def run_bits(values: np.ndarray, bits: int, model: Model) -> int:
    """Return what a `.horner` file takes for a run of integers: a flag, and the fewer of coded and plain bits."""
    digits = encode(values, bits, model)
    return 1 + (values.size * bits if digits is None else digits.size)


def _starts(values: np.ndarray, clusters: int) -> list[np.ndarray]:
    """Centres evenly over the range, as Han et al. found best, and evenly over the weights."""
    at = ((np.arange(clusters) + 0.5) / clusters * len(values)).astype(int)
    return [np.linspace(values[0], values[-1], clusters), values[at]]


def _lloyd(values: np.ndarray, sums: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Move centres to the means of what is nearest to them until they stand still; empty clusters stay."""
    for _ in range(ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(values, (centres[1:] + centres[:-1]) / 2), [len(values)]])
        counts = np.diff(ends)
        moved = np.where(counts > 0, np.diff(sums[ends]) / np.maximum(counts, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return np.sort(centres)


def _distortion(values: np.ndarray, centres: np.ndarray) -> float:
    levels = np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
    return float(np.square(values - centres[levels]).sum())
