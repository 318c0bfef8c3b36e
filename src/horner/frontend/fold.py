"""Fold a batch norm into the layer before it: ``norm(x * w + own)  ->  (x * (share w) + bias) * scale``.

A program rounds scale and bias with one step for all channels, so neither may differ between channels by orders of
magnitude; a channel that training has all but switched off has a tiny scale, and ``shift / scale`` for a bias.
Where every filter has coefficients of its own, what is too much for the scale goes into them, exactly. Where
filters share coefficients it cannot: tiny scales are then raised a little, the error weighed against the biases'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from horner.basis import Axis
from horner.frontend.tensors import Vector
from horner.plan import LayerPlan

LARGEST_RATIO = 8.0
"""Between the scales of two channels whose filters have coefficients of their own."""

EXACT = 2.0**-20
"""Least scale, as part of the largest, that changes nothing in float32."""


@dataclass(frozen=True, eq=False)
class Affine:
    """What stands after a convolution.

    Parameters
    ----------
    share
        What each filter's weights are multiplied by, or None.
    bias, scale
        ``(sum + bias) * scale``.
    """

    share: torch.Tensor | None
    bias: Vector
    scale: Vector


@dataclass(frozen=True, eq=False)
class Norm:
    """``(y - mean) * scale + offset``: a batch norm in evaluation mode, float64 ``(channels,)``."""

    scale: torch.Tensor
    mean: torch.Tensor
    offset: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def of(cls, module: Any, eps: float) -> Norm:
        """Read a batch norm module."""
        mean, deviation = module.running_mean.double(), torch.sqrt(module.running_var.double() + eps)
        gain = torch.ones_like(mean) if module.weight is None else module.weight.detach().double()
        offset = torch.zeros_like(mean) if module.bias is None else module.bias.detach().double()
        return cls(gain / deviation, mean, offset, deviation)


def fold(norm: Norm, own: torch.Tensor | None, weight: torch.Tensor | None, plan: LayerPlan, integer: bool) -> Affine:
    """Fold a batch norm.

    Parameters
    ----------
    own
        The layer's bias, if it has one.
    weight
        The layer's weights, where every filter has coefficients of its own; None where filters share them.
    integer
        Whether scale and bias will be rounded.
    """
    mean = norm.mean - own.detach().double() if own is not None else norm.mean
    channels = len(mean)
    bias_axis = plan.bias.axis(channels) if plan.bias else Axis(channels)
    scale_axis = plan.scale.axis(channels) if plan.scale else Axis(channels)
    if weight is None:
        scale = Vector.of(_raised(norm, mean, plan, integer), scale_axis, plan.scale_bits)
        kept = scale(None).detach().double()
        least = float(kept.abs().max()) * EXACT or 1.0
        divisor = torch.where(kept < 0, -1.0, 1.0) * torch.clamp(kept.abs(), min=least)
        return Affine(None, Vector.of(norm.offset / divisor - mean, bias_axis, plan.bias_bits), scale)
    peaks = weight.detach().double().abs().flatten(1).amax(1)
    wanted = norm.scale.abs() * peaks / (float(peaks.max()) or 1.0)  # the largest weights stay as large as they are
    wanted = torch.clamp(wanted, min=float(wanted.max()) / LARGEST_RATIO or 1.0)
    scale = Vector.of(wanted, scale_axis, plan.scale_bits)
    if float(scale(None).detach().min()) < float(wanted.min()) / 2:  # a polynomial may dip below
        scale = Vector.of(torch.full_like(wanted, float(wanted.max())), scale_axis, plan.scale_bits)
    kept = scale(None).detach().double()
    share = norm.scale / kept
    return Affine(share.float(), Vector.of(norm.offset / kept - mean * share, bias_axis, plan.bias_bits), scale)


def _raised(norm: Norm, mean: torch.Tensor, plan: LayerPlan, integer: bool) -> torch.Tensor:
    """Return the scales, tiny ones raised as far as the expected squared error of the outputs says."""
    largest = float(norm.scale.abs().max()) or 1.0
    sign = torch.where(norm.scale < 0, -1.0, 1.0)
    if not integer:
        return sign * torch.clamp(norm.scale.abs(), min=largest * EXACT)
    best, least = norm.scale, float("inf")
    for halvings in range(15):
        scale = sign * torch.clamp(norm.scale.abs(), min=largest * 2.0 ** (-halvings / 2))
        steps = float((norm.offset / scale - mean).abs().max()) / (1 << (plan.bias_bits - 1))
        of_scale = ((scale - norm.scale) * norm.deviation) ** 2
        error = float((of_scale + (scale * steps) ** 2 / 12).sum())
        if error < least:
            best, least = scale, error
    return best
