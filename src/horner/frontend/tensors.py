"""Coefficient tensors as they are trained under quantisation and frozen into a program."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from horner.approximation.positional import PositionalWeight
from horner.approximation.ranked import RankedWeight
from horner.basis import Axis
from horner.frontend.quantisers import best_step, snap
from horner.program.weights import FLOAT_BITS, LARGEST_SHIFT, Positional, Ranked, Weights, terms

WIDEST_SPREAD = 15
"""Largest shift between the families of one tensor: finer steps would only widen the accumulators."""


class Coefficients(nn.Module):
    """A trainable tensor of polynomial coefficients, and the integers it will be stored as.

    Parameters
    ----------
    form
        The parametrization: turns what is trained into coefficients, and coefficients into weights.
    originals
        What is trained, as the parametrization's `right_inverse` gives it.
    bits
        Signed bits per stored coefficient.
    shape
        Of the expanded tensor: (out, in / groups, row, col).
    """

    families: torch.Tensor

    def __init__(
        self,
        form: PositionalWeight | RankedWeight,
        originals: tuple[torch.Tensor, ...],
        bits: int,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.form = form
        self.shape = tuple(shape)
        self.bits = bits
        self.originals = nn.ParameterList([nn.Parameter(original.detach().clone()) for original in originals])
        families, self.family_shape = _families(form)
        self.register_buffer("families", torch.from_numpy(families), persistent=False)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest stored coefficient."""
        return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1

    def real(self) -> torch.Tensor:
        """Return the coefficients as they are trained, differentiable."""
        return self.form.coefficients(*self.originals)

    def expand(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the values that coefficients stand for, in `shape`."""
        if isinstance(self.form, PositionalWeight):
            return self.form(self.form.theta(coefficients).float()).reshape(self.shape)
        return self.form.expand(coefficients, *self.originals).reshape(self.shape)

    def largest(self) -> torch.Tensor:
        """Return the largest magnitude in every family, ``(families,)``."""
        peaks = torch.zeros(math.prod(self.family_shape), dtype=torch.float64, device=self.families.device)
        values = self.real().detach().double().abs().flatten()
        return peaks.scatter_reduce(0, self.families.flatten(), values, "amax")

    def _stored(self, step: torch.Tensor, shifts: torch.Tensor) -> np.ndarray:
        steps = step.detach().double() * 2.0 ** shifts.double()
        whole = torch.round(self.real().detach().double() / steps[self.families])
        return torch.clamp(whole, *self.limits).cpu().numpy().astype(np.int32)

    def _snapped(self, step: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
        steps = step * torch.exp2(shifts.double())
        return self.expand(snap(self.real(), steps[self.families], *self.limits))


class Core(Coefficients):
    """The coefficients of a layer's weights: one learned step, a fixed shift for every family."""

    shifts: torch.Tensor

    def __init__(
        self,
        form: PositionalWeight | RankedWeight,
        originals: tuple[torch.Tensor, ...],
        bits: int,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__(form, originals, bits, shape)
        self.log_step = nn.Parameter(torch.zeros(()))
        self.register_buffer("shifts", torch.zeros(math.prod(self.family_shape), dtype=torch.int64))

    @property
    def step(self) -> torch.Tensor:
        """The real value of one integer step of the finest family."""
        return self.log_step.exp()

    def calibrate(self) -> None:
        """Choose the steps of least squared error, family by family, as powers of two of a common one."""
        real = self.real().detach()
        steps = np.full(len(self.shifts), np.nan)
        for family in range(len(steps)):
            values = real[self.families == family]
            if len(values) and float(values.abs().max()) > 0:
                steps[family] = best_step(values, *self.limits)
        if np.isnan(steps).all():
            return  # nothing but zeros: any step will do
        coarsest = np.nanmax(steps)
        steps = np.where(np.isnan(steps), coarsest, np.maximum(steps, coarsest * 2.0**-WIDEST_SPREAD))
        shifts = np.round(np.log2(steps / steps.min())).astype(np.int64)
        self.shifts.copy_(torch.from_numpy(shifts))
        self.log_step.data.fill_(float(np.mean(np.log(steps) - shifts * math.log(2))))

    def forward(self, quantise: bool) -> torch.Tensor:
        """Return the layer's weights ``(out, in, row, col)``."""
        return self._snapped(self.step, self.shifts) if quantise else self.expand(self.real())

    def freeze(self, integer: bool) -> Weights:
        """Return the weights as a program stores them."""
        bits = self.bits if integer else FLOAT_BITS
        stored = self._stored(self.step, self.shifts) if integer else self.real().detach().cpu().numpy()
        shifts = self.shifts.cpu().numpy().reshape(self.family_shape) if integer else None
        if isinstance(self.form, PositionalWeight):
            return Positional(self.form.axes, stored, bits, shifts)
        levels = self.form.levels(*self.originals).cpu().numpy().reshape(self.shape)
        return Ranked(levels, self.form.level_bits, self.form.degree, self.form.zero, stored, bits, shifts)


class Vector(Coefficients):
    """A value per output channel (a bias, a scale), its steps powers of two of a unit that is given.

    Examples
    --------
    >>> vector = Vector.of(torch.tensor([0.5, -1.0, 2.0]), Axis(3), bits=8)
    >>> vector(None).tolist()
    [0.5, -1.0, 2.0]
    """

    @classmethod
    def of(cls, values: torch.Tensor, axis: Axis, bits: int) -> Vector:
        """Fit a vector to values ``(channels,)`` along an axis."""
        form = PositionalWeight((axis,))
        return cls(form, (form.right_inverse(values.detach().float()),), bits, (axis.length,))

    def forward(self, unit: torch.Tensor | None, whole: bool = True) -> torch.Tensor:
        """Return the values ``(channels,)``, rounded as they will be stored when a unit is given.

        Parameters
        ----------
        unit
            The real value of one integer step.
        whole
            Whether steps are at least one unit (a bias), or may be fractions of it (a multiplier before its shift).
        """
        if unit is None:
            return self.expand(self.real())
        return self._snapped(unit, self.exponents(unit, whole))

    def exponents(self, unit: torch.Tensor, whole: bool) -> torch.Tensor:
        """Return, for every family, the smallest power of two of the unit whose steps reach its largest value."""
        _, highest = self.limits
        peaks = self.largest()
        fit = torch.ceil(torch.log2(torch.clamp(peaks / (highest * unit.detach().double()), min=2.0**-60)))
        if bool((peaks > 0).any()):
            coarsest = fit[peaks > 0].max()
            fit = torch.where(peaks > 0, torch.clamp(fit, min=coarsest - WIDEST_SPREAD), coarsest)
        return torch.clamp(fit, min=0.0).long() if whole else fit.long()

    def freeze(self, unit: float | None, whole: bool = True) -> tuple[Positional, int]:
        """Return the vector as a program stores it, and the right shift that its integers still need."""
        assert isinstance(self.form, PositionalWeight)
        axis: Axis = self.form.axes[0]
        if unit is None:
            return Positional((axis,), self.real().detach().cpu().numpy(), FLOAT_BITS), 0
        step = torch.tensor(unit, dtype=torch.float64)
        exponents = self.exponents(step, whole)
        shift = max(0, -int(exponents.min()))
        stored = self._stored(step, exponents)
        shifts = torch.clamp(exponents + shift, max=LARGEST_SHIFT).cpu().numpy()
        return Positional((axis,), stored, self.bits, shifts), shift


def _families(form: PositionalWeight | RankedWeight) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the family of every coefficient as a flat number, and the shape of the families."""
    if isinstance(form, PositionalWeight):
        shape = tuple(terms(axis) for axis in form.axes)
        grid = np.arange(math.prod(shape)).reshape(shape)
        return grid[np.ix_(*(axis.orders for axis in form.axes))], shape
    groups, count = form.curves
    return np.broadcast_to(np.arange(count), (groups, count)).copy(), (count,)
