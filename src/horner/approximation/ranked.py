"""Weights that follow their rank: every weight is a level, stored, on a polynomial curve, learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from horner.approximation.feedback import Codebook
from horner.approximation.positional import PositionalWeight, blocks, full_precision
from horner.basis import Axis
from horner.plan import RankedPlan

ROUNDS = 60
"""Alternations of assigning weights to levels and fitting the curve to them; each lowers the error."""

SPANS = (1.0, 0.8, 0.6, 0.45, 0.3)
"""Parts of the weights' range that the straight curves tried first cover."""

BENDS = (-0.4, -0.2, 0.2, 0.4)
"""How much steeper at one end than in the middle the bent curves tried first are; below 0.5 they rise throughout."""


class RankedWeight(nn.Module):
    """A parametrization of a weight by levels on a polynomial curve, for the layer or per filter.

    It has two originals: a latent weight, whose nearest level (but for the dead zone) each weight takes, and the
    curve. The gradient of a weight reaches both: the latent weight as if nothing had been rounded (straight through),
    the curve at the weight's level. The curve is trained as coordinates in an orthonormal basis, as in
    `PositionalWeight`.

    Parameters
    ----------
    plan
        Degree, levels, curve per filter, level 0 for the weight 0 and how wide a zone of values takes it.
    shape
        The weight's shape, output channels first.

    Examples
    --------
    >>> weight = RankedWeight(RankedPlan(1, 2), (2, 3))
    >>> latent, curve = weight.right_inverse(torch.tensor([[-1.0, 0.0, 1.0], [2.0, 2.0, -1.0]]))
    >>> weight.levels(latent, curve).tolist()
    [[0, 1, 2], [3, 3, 0]]
    >>> weight(latent, curve).round(decimals=4)[1].tolist()
    [2.0, 2.0, -1.0]
    """

    def __init__(self, plan: RankedPlan, shape: Sequence[int]) -> None:
        super().__init__()
        self.plan = plan
        self.shape = tuple(shape)
        groups = self.shape[0] if plan.per_filter else 1
        self._curve = PositionalWeight((Axis(groups), plan.curve))

    @property
    def degree(self) -> int:
        """Degree of the curve."""
        return self.plan.degree

    @property
    def level_bits(self) -> int:
        """Bits per stored level."""
        return self.plan.level_bits

    @property
    def zero(self) -> bool:
        """Whether level 0 is the weight 0."""
        return self.plan.zero

    @property
    def curves(self) -> tuple[int, int]:
        """(curves, coefficients of each): the shape of the curve and of its coefficients."""
        groups, terms = self._curve.core
        return groups, terms

    def forward(self, latent: Tensor, curve: Tensor) -> Tensor:
        """Return the quantised weight, in the shape and type of `latent`."""
        return self._quantise(_table(self.plan, self._curve(curve)), latent, curve)

    def expand(self, coefficients: Tensor, latent: Tensor, curve: Tensor) -> Tensor:
        """Return the weight with other coefficients of the curve, every weight at the level that it has."""
        return self._quantise(_table(self.plan, self._curve.expand(coefficients, curve)), latent, curve)

    def coefficients(self, latent: Tensor, curve: Tensor) -> Tensor:
        """Return the curves' coefficients as a program stores them, float64, differentiable, shape `curves`."""
        return self._curve.coefficients(curve)

    def theta(self, coefficients: Tensor) -> Tensor:
        """Return the curve of coefficients, float64; the inverse of `coefficients`."""
        return self._curve.theta(coefficients)

    def levels(self, latent: Tensor, curve: Tensor) -> Tensor:
        """Return the level that every latent weight takes, uint8, in the weight's shape."""
        return self._levels(latent, curve).reshape(self.shape).to(torch.uint8)

    def codebook(self, curve: Tensor) -> Codebook:
        """Return the curve as what a value is rounded by."""
        table = _table(self.plan, self._curve(curve))
        bounds, order = _bounds(self.plan, table)
        return Codebook(table, bounds, order)

    def settled(self, latent: Tensor, curve: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latent weights that lie on their levels exactly."""
        table = _table(self.plan, self._curve(curve))
        return self._gather(table, levels.reshape(self._rows).long()).to(latent.dtype), curve

    def basis(self, levels: Tensor) -> Tensor:
        """Return the orthonormal basis of the curve at every weight's level, ``(terms, *shape)``; 0 at level zero."""
        q = torch.tensor(blocks(self.plan.curve)[0].q.T, dtype=torch.float32, device=levels.device)
        return _table(self.plan, q)[:, levels.long().flatten()].reshape(-1, *self.shape)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weight itself as the latent one, and curves of least squared error to it."""
        rows = weight.detach().double().reshape(self._rows)
        groups, plan = self.curves[0], self.plan
        nodes = plan.levels - int(plan.zero)
        fit = _Fit(rows, plan)
        quantiles = (torch.arange(nodes, device=rows.device) + 0.5) / nodes
        starts = [fit.sorted[:, (quantiles * rows.shape[1]).long()]]
        low, high = rows.min(1, keepdim=True).values, rows.max(1, keepdim=True).values
        middle, half = (low + high) / 2, (high - low) / 2
        ramp = torch.linspace(-1, 1, nodes, dtype=rows.dtype, device=rows.device) if nodes > 1 else rows.new_zeros(1)
        starts += [middle + span * half * ramp for span in SPANS]
        if plan.zero:  # on both sides of it alike
            starts += [span * torch.maximum(-low, high) * ramp for span in SPANS]
        if plan.degree == 2:
            starts += [middle + span * half * (ramp + bend * (ramp**2 - 1)) for span in SPANS[::2] for bend in BENDS]
        best = rows.new_zeros(self.curves)
        least = rows.new_full((groups,), torch.inf)
        for start in starts:
            curve, error = fit(start)
            better = error < least
            best, least = torch.where(better[:, None], curve, best), torch.where(better, error, least)
        return weight.detach().clone(), best.to(weight.dtype)

    def extra_repr(self) -> str:
        """The plan, and the weight's shape."""
        return f"{self.plan}, shape={self.shape}"

    @property
    def _rows(self) -> tuple[int, int]:
        """The weights of each curve, side by side."""
        return self.curves[0], -1

    def _levels(self, latent: Tensor, curve: Tensor) -> Tensor:
        with torch.no_grad():
            bounds, order = _bounds(self.plan, _table(self.plan, self._curve(curve)))
            return order.gather(1, torch.searchsorted(bounds, latent.detach().reshape(self._rows).contiguous()))

    def _gather(self, table: Tensor, levels: Tensor) -> Tensor:
        return table.gather(1, levels).reshape(self.shape)

    def _quantise(self, table: Tensor, latent: Tensor, curve: Tensor) -> Tensor:
        with full_precision(latent):
            values = self._gather(table, self._levels(latent, curve)).to(latent.dtype)
            return values + (latent - latent.detach())


def _table(plan: RankedPlan, values: Tensor) -> Tensor:
    """The weight of every level in use, ``(curves, levels)``, from those of the curve's nodes."""
    return nn.functional.pad(values, (1, 0))[:, : plan.levels] if plan.zero else values[:, : plan.levels]


def _bounds(plan: RankedPlan, table: Tensor) -> tuple[Tensor, Tensor]:
    """Where one level ends and the next begins, ``(curves, levels - 1)``, and the levels in that order."""
    table, order = table.sort(dim=1, stable=True)
    bounds = (table[:, 1:] + table[:, :-1]) / 2
    if plan.dead != 1:
        place = torch.arange(bounds.shape[1], device=table.device)
        zero = (order == 0).int().argmax(1, keepdim=True)
        bounds = torch.where((place == zero) | (place == zero - 1), plan.dead * bounds, bounds)
        # a wide zone reaches over bounds further out, which then stand at its own
        outwards, inwards = bounds.cummax(1).values, bounds.flip(1).cummin(1).values.flip(1)
        bounds = torch.where(place >= zero, outwards, inwards)
    return bounds.contiguous(), order


class _Fit:
    """Least squares of curves to sorted weights: Lloyd's alternation, on prefix sums."""

    def __init__(self, rows: Tensor, plan: RankedPlan) -> None:
        self.plan = plan
        self.sorted = rows.sort(1).values
        self.sums = nn.functional.pad(self.sorted.cumsum(1), (1, 0))
        self.squares = self.sorted.square().sum(1)
        nodes = plan.levels - int(plan.zero)
        self.q = torch.tensor(blocks(plan.curve)[0].q[:nodes], device=rows.device)  # (nodes in use, terms)

    def __call__(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Start from the values of the levels (without zero); return the curve and the squared error, per group."""
        curve = table @ torch.linalg.pinv(self.q).T
        error = curve.new_full((len(curve),), torch.inf)
        for _ in range(ROUNDS):
            counts, sums = self._assign(curve @ self.q.T)
            gram = torch.einsum("lt,gl,lu->gtu", self.q, counts, self.q)
            moments = sums @ self.q
            curve = (torch.linalg.pinv(gram, rtol=1e-12, hermitian=True) @ moments[..., None])[..., 0]
            last, error = error, self.squares - (curve * moments).sum(1)
            gain = last - error
            if self.plan.dead != 1:  # the zone has its price, so that the error may grow until it is settled
                gain = gain.abs()
            if bool((gain <= 1e-12 * self.squares).all()):
                break
        return curve, error

    def _assign(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """How many weights take each level of the curve, and their sum."""
        bounds, order = _bounds(self.plan, _table(self.plan, table))
        places = torch.searchsorted(self.sorted, bounds, right=True)
        places = nn.functional.pad(nn.functional.pad(places, (1, 0)), (0, 1), value=self.sorted.shape[1])
        back = order.argsort(1)
        counts = places.diff(dim=1).gather(1, back)
        sums = self.sums.gather(1, places).diff(dim=1).gather(1, back)
        first = int(self.plan.zero)
        return counts[:, first:].to(sums.dtype), sums[:, first:]
