"""The plans that are searched, built from a network's layers: the one place that turns choices into a plan.

For every group of layers of one shape there is one number per axis (how tightly it is approximated, from dense to a
single polynomial), or a number of levels and their curve, and one number of bits. Numbers are ordered from loose to
tight, so that a sampler can tell near from far. What holds for the whole network comes once.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from horner.approximation.maps import feature_maps
from horner.basis import LONGEST_POW2, Nodes
from horner.pipeline import Fit, Retraining
from horner.plan import EVERYTHING, AxisPlan, LayerPlan, Plan, RankedPlan, weight_shape, weighted
from horner.training import TrainConfig

Choices = tuple[AxisPlan | None, ...]
Pair = tuple[AxisPlan | None, AxisPlan | None]
Params = dict[str, Any]
T = TypeVar("T")

BITS = (8, 7, 6, 5, 4, 3)
COEFFICIENT_BITS = (*BITS, 2)
"""With 2, a coefficient by position is a level by rank at once: one of four, on a straight line."""
PRUNE = (0.0, 0.2, 0.4, 0.6)
"""Share of the coefficients that are 0."""
LEVEL_COUNTS = (256, 64, 32, 16, 8, 6, 4, 3, 2)
ZEROS: dict[str, dict[str, Any]] = {"none": {}, "zero": {"zero": True}, "dead zone": {"zero": True, "dead": 1.3}}
"""Whether a level means the weight 0, and whether more than its share of weights take it."""
DISTILL = (0.0, 0.25, 0.5, 0.75, 1.0)
FITS: tuple[Fit, ...] = ("weights", "activations", "random")
NODES: tuple[Nodes, ...] = ("index", "pow2")
AXES, LEVELS = "axes", "levels"


class Choose(Protocol):
    """What picks one of the options of a parameter: a sampler, or a list of picks made before."""

    def ordered(self, name: str, count: int) -> int:
        """Return one of ``0..count-1``, of which neighbours are alike."""

    def among(self, name: str, options: Sequence[Any]) -> Any:
        """Return one of the options, in no order."""


@dataclass(frozen=True)
class Picked:
    """Picks made before, by name of the parameter."""

    params: Mapping[str, Any]

    def ordered(self, name: str, count: int) -> int:
        """Return the number picked."""
        return int(self.params[name])

    def among(self, name: str, options: Sequence[Any]) -> Any:
        """Return the option picked."""
        return self.params[name]


@dataclass(frozen=True)
class Candidate:
    """A plan, and how a network approximated by it is trained on."""

    plan: Plan
    arrange: bool = True
    fit: Fit = "weights"
    distill: float = 0.5

    def retraining(self, dense: TrainConfig, epochs: int) -> Retraining | None:
        """Return the settings for so many epochs; None for none."""
        if not epochs:
            return None
        return Retraining.like(dense, epochs, distill=self.distill, arrange=self.arrange, fit=self.fit)

    def to_dict(self) -> dict[str, Any]:
        """Return it as built-in types, the plan as text."""
        return {**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}, "plan": str(self.plan)}


@dataclass(frozen=True)
class Group:
    """Layers of one shape, which share their form.

    Parameters
    ----------
    layers
        Their names; the first one names the parameters.
    view
        (out, in, row, col) that their weights are read as.
    map
        Of fully connected layers that read a feature map: its rows and columns.
    out, in_, kernel, vectors
        The choices for the axis out, the axis in, rows and columns together, and bias and scale together, from loose
        to tight.
    """

    layers: tuple[str, ...]
    view: tuple[int, int, int, int]
    map: tuple[int, int] | None
    out: Choices
    in_: Choices
    kernel: tuple[Pair, ...]
    vectors: tuple[Pair, ...]

    @property
    def name(self) -> str:
        """What the parameters' names begin with."""
        return self.layers[0]

    def plan(self, choose: Choose, nodes: Nodes, vector_bits: int) -> LayerPlan:
        """Return the plan of these layers."""
        bias, scale = pick(choose, f"{self.name}.vectors", self.vectors)
        common: dict[str, Any] = {
            "bits": pick(choose, f"{self.name}.bits", COEFFICIENT_BITS),
            "bias": bias,
            "scale": scale,
        }
        common |= {"bias_bits": vector_bits, "scale_bits": vector_bits}
        if choose.among(f"{self.name}.form", (AXES, LEVELS)) == LEVELS:
            return LayerPlan(ranked=self._ranked(choose), **common)
        row, col = pick(choose, f"{self.name}.kernel", self.kernel)
        out, in_ = pick(choose, f"{self.name}.out", self.out), pick(choose, f"{self.name}.in", self.in_)
        out, in_, row, col = (_on(axis, nodes, n) for axis, n in zip((out, in_, row, col), self.view, strict=True))
        prune = pick(choose, f"{self.name}.prune", PRUNE)
        return LayerPlan(out, in_, row, col, map=self.map if in_ or row or col else None, prune=prune, **common)

    def params(self, plan: LayerPlan) -> Params:
        """Return the picks that come nearest to a plan of one of these layers."""
        picks: Params = {
            "bits": _nearest(COEFFICIENT_BITS, plan.entropy or plan.bits),
            "form": LEVELS if plan.ranked else AXES,
        }
        picks["vectors"] = _nearest_pair(self.vectors, (plan.bias, plan.scale), (self.view[0],) * 2)
        if plan.ranked:
            ranked = plan.ranked
            picks |= {"levels": _nearest(LEVEL_COUNTS, ranked.levels), "degree": max(ranked.degree, 1)}
            picks["zero"] = "none" if not ranked.zero else "zero" if ranked.dead == 1 else "dead zone"
            picks["per_filter"] = ranked.per_filter
        else:
            out, in_, row, col = self.view
            picks["out"] = _nearest_axis(self.out, plan.out, out)
            picks["in"] = _nearest_axis(self.in_, plan.in_, in_)
            picks["kernel"] = _nearest_pair(self.kernel, (plan.row, plan.col), (row, col))
            picks["prune"] = _nearest(PRUNE, plan.prune)
        return {f"{self.name}.{key}": value for key, value in picks.items()}

    def _ranked(self, choose: Choose) -> RankedPlan:
        return RankedPlan.of(
            choose.among(f"{self.name}.degree", (1, 2)),
            pick(choose, f"{self.name}.levels", LEVEL_COUNTS),
            per_filter=choose.among(f"{self.name}.per_filter", (False, True)),
            **ZEROS[choose.among(f"{self.name}.zero", tuple(ZEROS))],
        )


@dataclass(frozen=True)
class Space:
    """All candidates for a network.

    Parameters
    ----------
    retrained
        Whether candidates are trained on at all; if not, nothing about training is chosen.
    """

    groups: tuple[Group, ...]
    retrained: bool = True

    def candidate(self, choose: Choose) -> Candidate:
        """Return the candidate of some choices."""
        nodes = choose.among("nodes", NODES)
        bits = pick(choose, "vector_bits", BITS)
        rules = []
        for group in self.groups:
            plan = group.plan(choose, nodes, bits)
            rules += [(name or EVERYTHING, plan) for name in group.layers]
        if not self.retrained:
            return Candidate(Plan(tuple(rules)))
        return Candidate(
            Plan(tuple(rules)),
            choose.among("arrange", (True, False)),
            choose.among("fit", FITS),
            pick(choose, "distill", DISTILL),
        )

    def params(self, candidate: Candidate) -> Params:
        """Return the choices whose candidate comes nearest to one; the inverse of `candidate` for one of its own."""
        plans = [candidate.plan.layer(group.name) for group in self.groups]
        found: Params = {
            "nodes": "pow2" if any(a and a.nodes == "pow2" for plan in plans for a in plan.by_axis) else "index",
            "vector_bits": _nearest(BITS, plans[0].bias_bits),
        }
        for group, plan in zip(self.groups, plans, strict=True):
            found |= group.params(plan)
        if self.retrained:
            distill = _nearest(DISTILL, candidate.distill)
            found |= {"arrange": candidate.arrange, "fit": candidate.fit, "distill": distill}
        return found

    @property
    def digest(self) -> str:
        """A name of this very space: studies of another one cannot be gone on with."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def build(model: nn.Module, example: torch.Tensor, seeds: Sequence[Plan] = (), retrained: bool = True) -> Space:
    """Return the space of a network.

    Parameters
    ----------
    example
        An image or two as the model takes them, for the maps that fully connected layers read.
    seeds
        Plans whose forms are to be among the choices; layers that one of them tells apart are not grouped.

    >>> from horner.models import build as network
    >>> space = build(network("lenet5", batch_norm=True), torch.zeros(1, 1, 28, 28))
    >>> [str(axis) for axis in space.groups[1].out]
    ['None', 'quadratic/6', 'linear/4', 'linear/8', 'quadratic', 'linear']
    """
    maps = feature_maps(model, example)
    members: dict[Any, list[str]] = {}
    for name, module in weighted(model).items():
        at = maps.get(name, (1, 1))
        key = (LayerPlan(map=at).view(weight_shape(module)), at, *(seed.layer(name) for seed in seeds))
        members.setdefault(key, []).append(name)
    scaled = any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in model.modules())
    groups = []
    for (view, at, *plans), names in members.items():
        out, in_, row, col = view
        fully_connected = isinstance(model.get_submodule(names[0]), nn.Linear)
        kernels = kernel_choices(row, col, [(plan.row, plan.col) for plan in plans])
        groups.append(
            Group(
                tuple(names),
                view,
                at if fully_connected and at != (1, 1) else None,
                axis_choices(out, [plan.out for plan in plans]),
                axis_choices(in_, [plan.in_ for plan in plans]),
                kernels,
                vector_choices(out, scaled, [(plan.bias, plan.scale) for plan in plans]),
            )
        )
    return Space(tuple(groups), retrained)


def axis_choices(length: int, more: Sequence[AxisPlan | None] = ()) -> Choices:
    """Return forms of an axis, from dense to tight: each halves the coefficients, in segments as even as can be.

    >>> [str(form) for form in axis_choices(10)]
    ['None', 'quadratic/5', 'linear/4', 'quadratic', 'linear']
    """
    found = {plan for plan in more if plan is not None and length > 1}
    for degree in (1, 2):
        target = length / 2
        lengths = {-(-length // parts) for parts in range(1, length + 1)}
        usable = sorted(size for size in lengths if size > degree + 1)
        while usable and target > degree / 2:
            size = min(usable, key=lambda size: abs(_coefficients(AxisPlan(degree, size), length) - target))
            found.add(AxisPlan(degree, None if size == length else size))
            target /= 2
    dense: Choices = (None,)
    return dense + tuple(sorted(found, key=lambda plan: (-_coefficients(plan, length), -plan.degree, str(plan))))


def kernel_choices(rows: int, columns: int, more: Sequence[Pair] = ()) -> tuple[Pair, ...]:
    """Return forms of a kernel, from dense to tight; of two that store as much, one.

    >>> [tuple(map(str, pair)) for pair in kernel_choices(3, 3)]
    [('None', 'None'), ('None', 'linear'), ('linear', 'linear')]
    """
    forms = [[None, *(AxisPlan(degree) for degree in (2, 1) if degree + 1 < n)] for n in (rows, columns)]
    pairs = [*more, *((row, col) for row in forms[0] for col in forms[1])]
    kept: dict[int, Pair] = {}
    for row, col in pairs:
        kept.setdefault(_coefficients(row, rows) * _coefficients(col, columns), (row, col))
    kept[rows * columns] = (None, None)
    return tuple(kept[count] for count in sorted(kept, reverse=True))


def vector_choices(length: int, scaled: bool, more: Sequence[Pair] = ()) -> tuple[Pair, ...]:
    """Return forms of bias and scale, from dense to tight; of the bias alone where there is no scale.

    >>> [tuple(map(str, pair)) for pair in vector_choices(10, True)][:3]
    [('None', 'None'), ('linear/4', 'linear/4'), ('quadratic/5', 'quadratic/5')]
    """
    pairs = {(form, form if scaled else None) for form in axis_choices(length)} | {
        (bias, scale) for bias, scale in more
    }
    if scaled and length > 1:
        pairs.add((None, AxisPlan(0)))
    return tuple(sorted(pairs, key=lambda pair: (-sum(_coefficients(axis, length) for axis in pair), str(pair))))


def pick(choose: Choose, name: str, options: Sequence[T]) -> T:
    """Return one of ordered options."""
    return options[choose.ordered(name, len(options))]


def _on(axis: AxisPlan | None, nodes: Nodes, length: int) -> AxisPlan | None:
    """An axis on other nodes, where its segments allow it."""
    if axis is None or min(axis.segment or length, length) > LONGEST_POW2:
        return axis
    return dataclasses.replace(axis, nodes=nodes)


def _coefficients(axis: AxisPlan | None, length: int) -> int:
    if axis is None:
        return length
    return dataclasses.replace(axis, nodes="index").axis(length).coefficients


def _nearest(options: Sequence[float], value: float) -> int:
    return min(range(len(options)), key=lambda i: abs(options[i] - value))


def _nearest_pair(options: Sequence[Pair], wanted: Pair, lengths: tuple[int, int]) -> int:
    """Return the place of a pair of forms among options: itself, else the one nearest in coefficients."""
    if wanted in options:
        return options.index(wanted)
    stored = [_coefficients(one, lengths[0]) * _coefficients(two, lengths[1]) for one, two in (*options, wanted)]
    return _nearest(stored[:-1], stored[-1])


def _nearest_axis(options: Choices, wanted: AxisPlan | None, length: int) -> int:
    """Return the place of a form among options: itself, else the one of as many coefficients, else the nearest."""
    plain = None if wanted is None else dataclasses.replace(wanted, nodes="index")
    if plain in options:
        return options.index(plain)
    counts = [_coefficients(option, length) for option in options]
    target, degree = _coefficients(plain, length), plain.degree if plain else 0
    degrees = [option.degree if option else 0 for option in options]
    return min(range(len(options)), key=lambda i: (abs(counts[i] - target), abs(degrees[i] - degree)))
