"""Fake quantisation with learned steps: what training sees of the integers that a program will hold."""

from __future__ import annotations

import math

import torch
from torch import nn

SHRINK = torch.linspace(1.0, 0.3, 36)


def snap(values: torch.Tensor, step: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Round to multiples of `step` between ``low * step`` and ``high * step``.

    The gradient passes straight through the rounding, to the values and to the steps alike (Esser et al.,
    "Learned step size quantization", 2020).
    """
    scaled = torch.clamp(values / step, low, high)
    return (scaled + (torch.round(scaled) - scaled).detach()) * step


def best_step(values: torch.Tensor, low: float, high: float) -> float:
    """Return the step whose rounding of `values` to ``low..high`` steps has the least squared error."""
    values = values.detach().flatten().double()
    reach = max(float(values.max()) / high if high > 0 else 0.0, float(values.min()) / low if low < 0 else 0.0)
    if reach <= 0.0:
        return 1.0
    steps = reach * SHRINK.double()
    rounded = torch.clamp(torch.round(values[None] / steps[:, None]), low, high) * steps[:, None]
    return float(steps[((rounded - values) ** 2).sum(1).argmin()])


class Grid(nn.Module):
    """An int8 activation: ``real = (q - zero_point) * scale``, clamped to ``low..high`` as a real number.

    Parameters
    ----------
    low, high
        Clamp of the real value before rounding; ReLU has low 0.
    """

    zero_point: torch.Tensor

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int64))

    @classmethod
    def fixed(cls, scale: float, zero_point: int) -> Grid:
        """Return a grid whose scale is given, not learned: the input's."""
        grid = cls()
        grid.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=False)
        grid.zero_point.fill_(zero_point)
        return grid

    @property
    def scale(self) -> torch.Tensor:
        """The real value of one integer step."""
        return self.log_scale.exp()

    def calibrate(self, values: torch.Tensor) -> None:
        """Choose scale and zero point for the least squared error on real values seen."""
        values = torch.clamp(values.detach().flatten().float(), self.low, self.high)
        if len(values) > 200_000:
            values = values[torch.linspace(0, len(values) - 1, 200_000).long()]
        lowest, highest = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        span = (highest - lowest) or 1.0
        zero = max(-128, min(127, -128 + round(255 * -lowest / span)))
        self.zero_point.fill_(zero)
        self.log_scale.data.fill_(math.log(best_step(values, -128 - zero, 127 - zero)))

    def limits(self) -> tuple[int, int]:
        """Return the clamp as integers, zero point included."""
        zero, scale = int(self.zero_point), float(self.scale.detach())
        low = -128 if self.low == -math.inf else max(-128, min(127, zero + round(self.low / scale)))
        high = 127 if self.high == math.inf else max(-128, min(127, zero + round(self.high / scale)))
        return low, high

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Round real values to the grid."""
        low, high = self.limits()
        zero = int(self.zero_point)
        return snap(values, self.scale, low - zero, high - zero)
