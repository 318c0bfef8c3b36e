"""Coefficient tensors as they are trained under quantisation and frozen into a program."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from horner.approximation.layers import Form
from horner.approximation.positional import PositionalWeight
from horner.basis import Axis
from horner.frontend.quantisers import SHRINK, learned, nearest, reach, rounding_errors, snap, straight
from horner.program.weights import (
    FLOAT_BITS,
    LARGEST_SHIFT,
    LEAST_COEFFICIENT_BITS,
    Positional,
    Ranked,
    Weights,
    signed_bits,
    terms,
    usual_shifts,
)

WIDEST_SPREAD = 15
"""Largest shift between the families of one tensor: finer steps would only widen the accumulators."""

WORTH = 1.5
"""Error of the weights that the usual shifts, which cost no bytes, may bring, over that of the best ones."""

FINENESS = 16
"""Steps tried per octave."""


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

    def __init__(self, form: Form, originals: tuple[torch.Tensor, ...], bits: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.form = form
        self.shape = tuple(shape)
        self.bits = bits
        self.originals = nn.ParameterList([nn.Parameter(original.detach().float().clone()) for original in originals])
        families, self.family_shape = _families(form)
        self.register_buffer("families", torch.from_numpy(families), persistent=False)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest stored coefficient."""
        return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1

    def real(self) -> torch.Tensor:
        """Return the coefficients as they are trained, float64, differentiable."""
        return self.form.coefficients(*self.originals)

    def expand(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the values that coefficients stand for, in `shape`."""
        return self.form.expand(coefficients, *self.originals).reshape(self.shape)

    def largest(self, real: torch.Tensor) -> torch.Tensor:
        """Return the largest magnitude in every family of real coefficients, ``(families,)``."""
        peaks = torch.zeros(math.prod(self.family_shape), dtype=torch.float64, device=self.families.device)
        return peaks.scatter_reduce(0, self.families.flatten(), real.detach().abs().flatten(), "amax")

    def _snapped(self, real: torch.Tensor, step: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        """The integers that will be stored of real coefficients whose steps are `factors` times `step`."""
        return snap(real / (step * factors), *self.limits)

    def _whole(self, real: torch.Tensor, step: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
        """The same with each family's shift applied, in units of `step`."""
        factors = self._factors(shifts)
        return self._snapped(real, step, factors) * factors

    def _stored(self, step: torch.Tensor, shifts: torch.Tensor) -> np.ndarray:
        return self._snapped(self.real(), step, self._factors(shifts)).detach().cpu().numpy().astype(np.int32)

    def _factors(self, shifts: torch.Tensor) -> torch.Tensor:
        """What each coefficient's step is times the common one, by the shift of its family."""
        return torch.exp2(shifts.double())[self.families]


class Core(Coefficients):
    """The coefficients of a layer's weights: one learned step, a fixed shift for every family.

    Parameters
    ----------
    prune
        Share of the coefficients that are stored as 0: those whose loss changes the weights least, chosen anew at
        every step. Their gradient passes on, so that one that grows comes back (Guo et al., "Dynamic network
        surgery", 2016).
    entropy
        Bits per coefficient that steps are chosen for (an entropy-constrained quantiser), instead of the least error in
        `bits`: at one entropy a uniform step that clamps nothing errs less (Gish & Pierce, "Asymptotically efficient
        quantizing", 1968).
    """

    gains: torch.Tensor
    shifts: torch.Tensor

    def __init__(
        self,
        form: Form,
        originals: tuple[torch.Tensor, ...],
        bits: int,
        shape: tuple[int, ...],
        prune: float = 0.0,
        entropy: float | None = None,
    ) -> None:
        super().__init__(form, originals, bits, shape)
        self.prune, self.entropy = prune, entropy
        self.register_buffer("gains", torch.tensor(_gains(form), dtype=torch.float64), persistent=False)
        self.log_step = nn.Parameter(torch.zeros(()))
        self.register_buffer("shifts", torch.zeros(math.prod(self.family_shape), dtype=torch.int64))

    @property
    def step(self) -> torch.Tensor:
        """The real value of one integer step of the finest family."""
        return learned(self.log_step, self.families.numel())

    def _snapped(self, real: torch.Tensor, step: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        snapped = super()._snapped(real, step, factors)
        pruned = int(self.prune * snapped.numel())
        if not pruned:
            return snapped
        effect = real.detach().square() * self.gains[self.families]
        return straight(snapped, snapped * (effect > effect.flatten().kthvalue(pruned).values))

    @torch.no_grad()
    def calibrate(self) -> None:
        """Choose the steps of least squared error of the weights: powers of two, by family, of a common one.

        With `entropy`, they are the usual powers of the finest that the entropy allows.
        """
        real = self.real()
        if self.entropy is not None:
            self._calibrate_to(self.entropy, real)
            return
        low, high = self.limits
        count = math.prod(self.family_shape)
        octaves = np.zeros((FINENESS, count), np.int64)  # of every family's best step, if the common one is 2**(k/16)
        errors = np.zeros(FINENESS)
        known = np.zeros(count, bool)
        for family, gain in enumerate(self.gains.tolist()):
            values = real[self.families == family]
            largest = reach(values, low, high) if len(values) else 0.0
            if largest <= 0.0:
                continue
            known[family] = True
            top = math.ceil(math.log2(largest) * FINENESS)
            # up to an octave beyond the largest value, so that every k has a step that clips nothing
            exponents = top + FINENESS - 1 - np.arange(len(SHRINK) + FINENESS - 1)
            found = rounding_errors(values, torch.from_numpy(2.0 ** (exponents / FINENESS)), low, high).cpu().numpy()
            for k in range(FINENESS):
                of_k = exponents % FINENESS == k
                best = int(found[of_k].argmin())
                octaves[k, family] = exponents[of_k][best] // FINENESS
                errors[k] += gain * len(values) * found[of_k][best]
        if not known.any():
            return  # nothing but zeros: any step will do
        k = int(errors.argmin())
        usual = self._usual(real)
        if usual is not None and usual[1] <= WORTH * float(errors[k]):
            self.shifts.copy_(torch.from_numpy(usual_shifts(_axes(self.form)).ravel()))
            self.log_step.fill_(usual[0])
            return
        coarsest = octaves[k][known].max()
        found_octaves = np.where(known, np.maximum(octaves[k], coarsest - WIDEST_SPREAD), coarsest)
        self.shifts.copy_(torch.from_numpy(found_octaves - found_octaves.min()))
        self.log_step.fill_((int(found_octaves.min()) + k / FINENESS) * math.log(2))

    def _calibrate_to(self, entropy: float, real: torch.Tensor) -> None:
        """Take the usual shifts and the finest common step that leaves at most so many bits per coefficient."""
        self.shifts.copy_(torch.from_numpy(usual_shifts(_axes(self.form)).ravel()))
        factors = self._factors(self.shifts)
        finest = reach(real / factors, *self.limits)
        if finest <= 0.0:
            return  # nothing but zeros: any step will do
        # at twice the largest magnitude, if not before, nothing but zeros is left
        for k in range(FINENESS * (self.bits + 1) + 1):
            step = finest * 2.0 ** (k / FINENESS)
            counts = torch.unique(self._snapped(real, torch.tensor(step), factors), return_counts=True)[1].double()
            shares = counts / counts.sum()
            if -float((shares * shares.log2()).sum()) <= entropy:
                break
        self.log_step.fill_(math.log(step))

    def _usual(self, real: torch.Tensor) -> tuple[float, float] | None:
        """Return the logarithm of the best common step if shifts are the usual ones, and its error of the weights."""
        shifts = torch.exp2(torch.from_numpy(usual_shifts(_axes(self.form)).ravel()).double()).to(real.device)
        scaled = real / shifts[self.families]
        gains = self.gains * shifts**2
        largest = reach(scaled, *self.limits)
        if largest <= 0.0:
            return None
        steps = largest * SHRINK.to(real.device)
        errors = torch.stack(
            [
                (
                    (torch.clamp(torch.round(scaled / step), *self.limits) * step - scaled) ** 2 * gains[self.families]
                ).sum()
                for step in steps
            ]
        )
        best = int(errors.argmin())
        return math.log(float(steps[best])), float(errors[best])

    def forward(self, quantise: bool) -> torch.Tensor:
        """Return the layer's weights ``(out, in, row, col)``; when quantised, as integers in units of `step`.

        Those below 2**22 are exact: float32 rounds twice on the way, which must not come to a half.
        """
        if not quantise:
            return self.expand(self.real())
        # ranked weights hand their gradient on in real units, so both are done in them
        step = self.step
        whole = self.expand(self._whole(self.real(), step, self.shifts) * step) / step
        return straight(whole, nearest(whole))  # without the float32 noise of the orthonormal basis

    def integer_form(self) -> tuple[PositionalWeight, torch.Tensor]:
        """Return the form of positional weights, and coordinates of the quantised ones in units of `step`."""
        assert isinstance(self.form, PositionalWeight)
        step = self.step
        theta = self.form.theta(self._whole(self.real(), step, self.shifts) * step) / step
        return self.form, theta.to(self.originals[0].dtype)

    def freeze(self, integer: bool) -> Weights:
        """Return the weights as a program stores them.

        Steps by entropy, or many zeros, may leave `bits` wider than any coefficient needs: then they become narrower.
        (A run that is coded in less than an eighth of its width is not coded at all.)
        """
        bits = self.bits if integer else FLOAT_BITS
        stored = self._stored(self.step, self.shifts) if integer else self.real().detach().cpu().numpy()
        if integer and (self.entropy is not None or self.prune):
            needed = signed_bits(int(stored.min()), int(stored.max()))
            bits = min(bits, max(LEAST_COEFFICIENT_BITS, needed))
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
        form = PositionalWeight((axis,)).to(values.device)
        return cls(form, (form.right_inverse(values.detach().double()),), bits, (axis.length,))

    def forward(self, unit: torch.Tensor | None, whole: bool = True) -> torch.Tensor:
        """Return the values ``(channels,)``; when a unit is given, in that unit, rounded as they will be stored.

        Parameters
        ----------
        unit
            The real value of one integer step.
        whole
            Whether steps are at least one unit (a bias), or may be fractions of it (a multiplier before its shift).
        """
        real = self.real()
        if unit is None:
            return self.expand(real)
        return self.expand(self._whole(real, unit, self.exponents(real, unit, whole)))

    def exponents(self, real: torch.Tensor, unit: torch.Tensor, whole: bool) -> torch.Tensor:
        """Return, for every family, the smallest power of two of the unit whose steps reach its largest value."""
        _, highest = self.limits
        peaks = self.largest(real)
        fit = torch.ceil(torch.log2(torch.clamp(peaks / (highest * unit.detach().double()), min=2.0**-60)))
        coarsest = torch.where(peaks > 0, fit, -60.0).max()
        fit = torch.where(peaks > 0, torch.maximum(fit, coarsest - WIDEST_SPREAD), coarsest)
        return torch.clamp(fit, min=0.0).long() if whole else fit.long()

    def freeze(self, unit: torch.Tensor | None, whole: bool = True) -> tuple[Positional, int]:
        """Return the vector as a program stores it, and the right shift that its integers still need."""
        assert isinstance(self.form, PositionalWeight)
        axis: Axis = self.form.axes[0]
        if unit is None:
            return Positional((axis,), self.real().detach().cpu().numpy(), FLOAT_BITS), 0
        exponents = self.exponents(self.real(), unit, whole)
        shift = max(0, -int(exponents.min()))
        stored = self._stored(unit, exponents)
        shifts = torch.clamp(exponents + shift, max=LARGEST_SHIFT).cpu().numpy()
        return Positional((axis,), stored, self.bits, shifts), shift


def _families(form: Form) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the family of every coefficient as a flat number, and the shape of the families."""
    if isinstance(form, PositionalWeight):
        shape = tuple(terms(axis) for axis in form.axes)
        grid = np.arange(math.prod(shape)).reshape(shape)
        return grid[np.ix_(*(axis.orders for axis in form.axes))], shape
    groups, count = form.curves
    return np.broadcast_to(np.arange(count), (groups, count)).copy(), (count,)


def _axes(form: Form) -> tuple[Axis, ...]:
    """The axes whose orders tell families apart."""
    return form.axes if isinstance(form, PositionalWeight) else (form.plan.curve,)


def _gains(form: Form) -> list[float]:
    """Return what a squared error of a coefficient of each family becomes in the weights."""
    gains = np.ones(1)
    for axis in _axes(form):
        _, size, _ = axis.runs[0]
        basis = np.ones((1, 1)) if axis.dense else Axis(size, degree=axis.degree, nodes=axis.nodes).stored
        gains = np.outer(gains, (basis.astype(float) ** 2).sum(0)).ravel()
    return [float(gain) for gain in gains]
