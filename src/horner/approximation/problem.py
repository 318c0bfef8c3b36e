"""A layer's fit as least squares: what its inputs and wanted outputs add up to, and the error that weights make."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from horner.approximation.positional import PositionalWeight
from horner.errors import DataError

LARGEST_CHUNK = 1 << 24
"""Elements of unfolded inputs held at once."""


@dataclass(frozen=True)
class LayerFit:
    """Squared error of a layer's output on the calibration images, relative to the output's own square."""

    before: float
    after: float


class Moments:
    """Sums over samples, float64, of what least squares needs to know: ``z z'``, ``z y'``, ``z``, ``y``, ``y^2``."""

    def __init__(self) -> None:
        self.samples = 0
        self.sums: list[Tensor] = []

    def add(self, z: Tensor, y: Tensor) -> None:
        """Add samples: `z` is ``(groups, samples, features)``, `y` is ``(groups, samples, outputs)``."""
        z, y = z.double(), y.double()
        sums = [z.mT @ z, z.mT @ y, z.sum(1), y.sum(1), y.square().sum(1)]
        self.samples += z.shape[1]
        self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)] if self.sums else sums

    @property
    def means(self) -> list[Tensor]:
        """The sums divided by the samples."""
        return [value / self.samples for value in self.sums]


@dataclass(frozen=True)
class Quadratic:
    """The mean squared error of a layer's output, as a function of the rows of its weights.

    Parameters
    ----------
    square
        ``(groups, features, features)``: second moments of the inputs.
    cross
        ``(groups, features, outputs)``: those of inputs and wanted outputs.
    total
        Mean square of the wanted outputs, all together.
    """

    square: Tensor
    cross: Tensor
    total: float

    def error(self, rows: Tensor) -> float:
        """Return the error of rows ``(groups, outputs, features)``."""
        return float(self.total - 2 * (rows * self.cross.mT).sum() + ((rows @ self.square) * rows).sum())

    def residual(self, rows: Tensor) -> Tensor:
        """Return half the negative gradient of the error with respect to rows."""
        return self.cross.mT - rows @ self.square

    def ridge(self, damping: float) -> Tensor:
        """Return `damping` times the mean square of an input, for each group."""
        return damping * self.square.diagonal(dim1=1, dim2=2).mean(1) + torch.finfo(torch.float64).tiny


class Target:
    """What a layer is fitted to: the moments of its inputs and wanted outputs, its bias as it stands or chosen anew.

    Parameters
    ----------
    name
        The layer's, for messages.
    bias
        The layer's bias as it stands, or None.
    free
        Whether the bias may be chosen anew.
    """

    def __init__(self, name: str, moments: Moments, bias: Tensor | None, free: bool) -> None:
        square, cross, z, y, y2 = moments.means
        if not all(bool(value.isfinite().all()) for value in (square, cross, y2)):
            raise DataError(f"layer {name}: its activations on the calibration images are not finite")
        self.z, self.y, self.bias = z, y, bias if free else None
        present = torch.zeros_like(y) if bias is None else bias.detach().double().reshape(y.shape)
        self.scale = float(y2.sum()) or 1.0
        self.fixed = Quadratic(
            square, cross - z[..., None] * present[:, None], float((y2 - 2 * present * y + present**2).sum())
        )
        self.free = self.fixed
        if self.bias is not None:  # then only deviations from the means matter
            self.free = Quadratic(
                square - z[..., None] * z[:, None], cross - z[..., None] * y[:, None], float((y2 - y**2).sum())
            )

    def finish(self, before: Tensor, after: Tensor) -> LayerFit:
        """Store the bias that goes with rows; return the errors of the rows before and after."""
        if self.bias is not None:
            self.bias.copy_((self.y - (after @ self.z[..., None])[..., 0]).reshape(self.bias.shape))
        errors = self.fixed.error(before), self.free.error(after)
        first, last = (max(0.0, error) / self.scale for error in errors)
        return LayerFit(first, last)


def add(moments: Moments, module: nn.Conv2d | nn.Linear, form: PositionalWeight, x: Tensor, y: Tensor) -> None:
    """Add a batch of a layer's inputs and wanted outputs, a bounded part at a time."""
    positions = y[0].numel() // y.shape[1] if y.ndim == 4 else 1
    step = max(1, LARGEST_CHUNK // max(1, module.weight[0].numel() * positions))
    if isinstance(module, nn.Linear):
        x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    for some, wanted in zip(x.split(step), y.split(step), strict=True):
        z = gathered(module, form, some)
        wanted = wanted.reshape(len(wanted), z.shape[0], form.view[0] // z.shape[0], -1)
        moments.add(z, wanted.permute(1, 0, 3, 2).flatten(1, 2))


def gathered(module: nn.Conv2d | nn.Linear, form: PositionalWeight, x: Tensor) -> Tensor:
    """Inputs under every output, times the transposed bases: ``(groups, samples, features)``."""
    channels, *kernel = form.view[1:]
    if isinstance(module, nn.Linear):
        z = x.reshape(len(x), *form.view[1:])
        for at in (1, 2, 3):
            z = form.project(z, at)
        return z.reshape(1, len(x), -1)
    x = F.pad(x, module._reversed_padding_repeated_twice)  # the explicit amounts, also for "same"
    x = form.project(x.reshape(len(x) * module.groups, channels, *x.shape[2:]), 1)
    z = F.unfold(x, tuple(kernel), module.dilation, 0, module.stride)
    z = z.reshape(-1, module.groups, x.shape[1], *kernel, z.shape[-1])
    z = form.project(form.project(z, 2, dimension=3), 3, dimension=4)
    return z.permute(1, 0, 5, 2, 3, 4).reshape(module.groups, -1, z.shape[2] * z.shape[3] * z.shape[4])
