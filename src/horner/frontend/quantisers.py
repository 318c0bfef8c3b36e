"""Fake quantisation with learned steps: what training sees of the integers that a program will hold."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import nn

MULTIPLIER_BITS = 16
"""Of a multiplier that all channels share."""

RESCALE_BITS = 15
"""Of the multipliers of a sum or a concatenation: float32 then simulates it exactly."""

LARGEST_RIGHT_SHIFT = 62

SHRINK = 2.0 ** -torch.arange(0, 2.01, 1 / 16, dtype=torch.float64)
"""The steps tried, as parts of the one that reaches the largest value."""

MOST = 1 << 15
"""Values that a step is chosen by."""


def nearest(values: torch.Tensor) -> torch.Tensor:
    """Round to the nearest integer, halves away from zero, as `horner.program.integer` does.

    >>> nearest(torch.tensor([0.5, -0.5, 1.5, 2.4])).tolist()
    [1.0, -1.0, 2.0, 2.0]
    """
    return values.abs().add_(0.5).floor_().copysign_(values)


def straight(values: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """Return `rounded`, with the gradient of `values` (the straight-through estimator)."""
    return rounded.detach() + (values - values.detach())


class _Snap(torch.autograd.Function):
    """Clamp and round in few passes over memory; the gradient passes where nothing was clamped."""

    @staticmethod
    def forward(ctx: Any, scaled: torch.Tensor, low: float, high: float) -> torch.Tensor:
        ctx.save_for_backward(scaled)
        ctx.bounds = low, high
        clamped = torch.clamp(scaled, low, high)
        if low >= 0:  # no sign to look after
            return clamped.add_(0.5).floor_()
        return clamped.abs().add_(0.5).floor_().copysign_(clamped)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (scaled,) = ctx.saved_tensors
        low, high = ctx.bounds
        beyond = (_next(low, -math.inf, scaled.dtype), _next(high, math.inf, scaled.dtype))
        return torch.ops.aten.hardtanh_backward(gradients[0], scaled, *beyond), None, None


@functools.cache
def _next(value: float, towards: float, dtype: torch.dtype) -> float:
    """The next number of a type."""
    return float(torch.nextafter(*(torch.tensor(number, dtype=dtype) for number in (value, towards))))


def snap(scaled: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Return the integers from `low` to `high` nearest to values that are in units of their step already.

    >>> snap(torch.tensor([-9.0, -1.5, 0.4, 0.5, 9.0]), -4, 3)
    tensor([-4., -2.,  0.,  1.,  3.])
    """
    return _Snap.apply(scaled, float(low), float(high))


def learned(log_step: torch.Tensor, count: int) -> torch.Tensor:
    """Return the step of a logarithm, its gradient divided by the root of how many values share it.

    Without that a step would learn orders of magnitude faster than what it rounds (Esser et al., "Learned step size
    quantization", 2020).
    """
    step = log_step.exp()
    return step.detach() + (step - step.detach()) / math.sqrt(127.0 * max(count, 1))


def rescaled(ratios: torch.Tensor, bits: int) -> tuple[torch.Tensor, int]:
    """Return integers of at most `bits` signed bits, and a right shift, that together stand for positive ratios.

    >>> rescaled(torch.tensor([0.5, 0.25]), 8)
    (tensor([64., 32.]), 7)
    """
    exponent = math.frexp(float(ratios.detach().max()))[1]
    shift = min(max(bits - 1 - exponent, 0), LARGEST_RIGHT_SHIFT)
    scaled = ratios * 2.0**shift
    return straight(scaled, torch.clamp(nearest(scaled), max=(1 << (bits - 1)) - 1)), shift


def thin(values: torch.Tensor, most: int = MOST) -> torch.Tensor:
    """Return at most `most` of the values, evenly taken, and always the extremes; flat."""
    values = values.detach().flatten()
    if len(values) <= most:
        return values
    places = torch.linspace(0, len(values) - 1, most - 2, dtype=torch.float64, device=values.device).long()
    return torch.cat([values[places], values.min()[None], values.max()[None]])


def rounding_errors(values: torch.Tensor, steps: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Return the mean squared error of rounding values to ``low..high`` steps, for each of several steps."""
    values = thin(values).double()
    steps = steps.to(values.device)[:, None]
    rounded = torch.clamp(torch.round(values[None] / steps), low, high) * steps
    return ((rounded - values) ** 2).mean(1)


def reach(values: torch.Tensor, low: float, high: float) -> float:
    """Return the smallest step whose ``low..high`` multiples reach every value; 0 where all are zero."""
    return max(
        float(values.detach().max()) / high if high > 0 else 0.0,
        float(values.detach().min()) / low if low < 0 else 0.0,
    )


def best_step(values: torch.Tensor, low: float, high: float) -> float:
    """Return the step whose rounding of `values` to ``low..high`` steps has the least squared error."""
    largest = reach(values, low, high)
    if largest <= 0.0:
        return 1.0
    steps = largest * SHRINK
    return float(steps[rounding_errors(values, steps, low, high).argmin().cpu()])


class Grid(nn.Module):
    """An int8 activation: ``real = (q - zero_point) * scale``, clamped to ``low..high`` as a real number.

    Parameters
    ----------
    low, high
        Clamp of the real value before rounding; ReLU has low 0.
    count
        Values of one image.
    """

    zero_point: torch.Tensor

    def __init__(self, low: float = -math.inf, high: float = math.inf, count: int = 1) -> None:
        super().__init__()
        self.low, self.high, self.count = low, high, count
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int64))

    def fix_(self, scale: float, zero_point: int) -> Grid:
        """Give the grid a scale that is not learned: the input's."""
        self.log_scale.requires_grad_(False).fill_(math.log(scale))
        self.zero_point.fill_(zero_point)
        return self

    @property
    def scale(self) -> torch.Tensor:
        """The real value of one integer step."""
        return learned(self.log_scale, self.count)

    def calibrate(self, values: torch.Tensor) -> None:
        """Choose scale and zero point for the least squared error on real values seen."""
        values = torch.clamp(values.detach().flatten().float(), self.low, self.high)
        lowest, highest = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        span = (highest - lowest) or 1.0
        zero = max(-128, min(127, -128 + round(255 * -lowest / span)))
        self.zero_point.fill_(zero)
        self.log_scale.data.fill_(math.log(best_step(values, -128 - zero, 127 - zero)))

    def bounds(self) -> tuple[float, float]:
        """Return the clamp in steps from zero: what int8 holds of ``low..high``."""
        zero = int(self.zero_point)
        scale = self.log_scale.detach().exp()

        def held(bound: float) -> float:
            steps = float(nearest(bound / scale)) if bound and math.isfinite(bound) else bound
            return float(min(max(steps, -128 - zero), 127 - zero))

        return held(self.low), held(self.high)

    def limits(self) -> tuple[int, int]:
        """Return the clamp as integers, zero point included."""
        low, high = self.bounds()
        return int(low) + int(self.zero_point), int(high) + int(self.zero_point)

    def forward(self, scaled: torch.Tensor) -> torch.Tensor:
        """Return the integers, less the zero point, nearest to values in units of the scale."""
        return snap(scaled, *self.bounds())
