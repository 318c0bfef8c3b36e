"""What to approximate and how: a plan is parsed once, matched to a model, and read by everything after.

A plan is a list of rules, each a pattern of layer names and what holds for the layers it matches::

    afsc afmc                                   segments of 4 filters and of 4 channels, linear, in every layer
    out=linear/4 in=linear/4 row=quadratic      the axes by name; /4 is the segment, without it the whole axis
    bits=6; conv1: row=linear col=linear; fc*: ranked=linear/4bit zero; fc3: dense bits=8

An exact name beats a pattern (`*`, `?`, `[...]`), a pattern beats the rule without one, and of two patterns
that match the later one holds. The rule that holds says everything about a layer's axes; `bits`, `bias`,
`bias_bits`, `scale` and `scale_bits` that it does not mention are those of the rule without a pattern.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from horner._plan_table import Row, make_row, make_table
from horner.basis import LONGEST_POW2, Axis, Nodes
from horner.errors import PlanError
from horner.program.schedule import AXES
from horner.program.weights import FLOAT_BITS, LARGEST_COEFFICIENT_BITS, LARGEST_LEVEL_BITS, LEAST_COEFFICIENT_BITS

if TYPE_CHECKING:
    from rich.table import Table
    from torch import nn

DEGREES = ("constant", "linear", "quadratic")
EVERYTHING = "*"


@dataclass(frozen=True)
class AxisPlan:
    """Polynomials of `degree` (0, 1, 2) over segments of an axis, whose length the layer decides.

    Parameters
    ----------
    degree
        0 (constant), 1 (linear) or 2 (quadratic).
    segment
        Positions per segment; None, and anything longer than the axis, is the whole axis.
    nodes
        `index` (0, 1, 2, 3, ...) or `pow2` (0, 1, 2, 4, ...).

    >>> str(AxisPlan(1, 4, "pow2"))
    'linear/4@pow2'
    >>> AxisPlan(1, 4).axis(6).coefficients
    4
    """

    degree: int
    segment: int | None = None
    nodes: Nodes = "index"

    def __post_init__(self) -> None:
        _check_degree(self.degree)
        if self.segment is not None and self.segment < 1:
            raise PlanError(f"a segment needs at least one position, not {self.segment}")
        if self.nodes not in ("index", "pow2"):
            raise PlanError(f"nodes {self.nodes!r} are not one of 'index', 'pow2'")
        if self.nodes == "pow2" and self.segment is not None and self.segment > LONGEST_POW2:
            raise PlanError(f"pow2 nodes need segments of at most {LONGEST_POW2} positions, not {self.segment}")

    def axis(self, length: int) -> Axis:
        """Return the basis of an axis of `length` positions."""
        return Axis(length, self.segment, self.degree, self.nodes)

    def __str__(self) -> str:
        segment = "" if self.segment is None else f"/{self.segment}"
        return DEGREES[self.degree] + segment + ("@pow2" if self.nodes == "pow2" else "")


@dataclass(frozen=True)
class RankedPlan:
    """Weights as stored levels on a polynomial curve.

    Parameters
    ----------
    degree
        Of the curve: 1 is a uniform quantiser, 2 a non-uniform one.
    level_bits
        Bits stored per weight, 1 to 8.
    per_filter
        One curve per filter instead of one for the layer.
    zero
        Level 0 means the weight 0.
    dead
        How many times as wide as nearest-level rounding makes it the zone of values is that take the weight 0 (a
        dead-zone quantiser); above 0, below 2, and 1 without `zero`.
    used
        Levels that weights take, the first ones; all ``2**level_bits`` when None. Three with `zero` are ternary
        weights.

    >>> str(RankedPlan(1, 4, zero=True))
    'linear/4bit zero'
    >>> str(RankedPlan.of(1, 3, zero=True, dead=1.3))
    'linear/3level zero dead=1.3'
    """

    degree: int
    level_bits: int
    per_filter: bool = False
    zero: bool = False
    dead: float = 1.0
    used: int | None = None

    def __post_init__(self) -> None:
        _check_degree(self.degree)
        if not 1 <= self.level_bits <= LARGEST_LEVEL_BITS:
            raise PlanError(f"levels of {self.level_bits} bits; 1 to {LARGEST_LEVEL_BITS} are possible")
        if not 0 < self.dead < 2:
            raise PlanError(
                f"dead={self.dead:g}; it is above 0 and below 2, where the zone would swallow its neighbours"
            )
        if self.dead != 1 and not self.zero:
            raise PlanError(
                f"dead={self.dead:g} widens the zone of the weight 0, which only zero gives a level; add zero"
            )
        if self.used is not None and not 1 << self.level_bits - 1 < self.used <= 1 << self.level_bits:
            raise PlanError(f"{self.used} levels do not take {self.level_bits} bits each")
        if self.used == 1 << self.level_bits:
            object.__setattr__(self, "used", None)

    @classmethod
    def of(
        cls, degree: int, levels: int, per_filter: bool = False, zero: bool = False, dead: float = 1.0
    ) -> RankedPlan:
        """Return the plan of a number of levels, which need not be a power of two."""
        if not 2 <= levels <= 1 << LARGEST_LEVEL_BITS:
            raise PlanError(f"{levels} levels; 2 to {1 << LARGEST_LEVEL_BITS} are possible")
        return cls(degree, (levels - 1).bit_length(), per_filter, zero, dead, levels)

    @property
    def levels(self) -> int:
        """How many levels weights take."""
        return self.used or 1 << self.level_bits

    @property
    def curve(self) -> Axis:
        """The axis of levels that the curve's polynomial runs over."""
        return Axis((1 << self.level_bits) - int(self.zero), degree=self.degree)

    def loosened(self, times: int) -> RankedPlan:
        """Return the plan with its levels doubled `times` times, as far as levels go."""
        levels = min(self.levels << times, 1 << LARGEST_LEVEL_BITS)
        return RankedPlan.of(self.degree, levels, self.per_filter, self.zero, self.dead)

    def __str__(self) -> str:
        levels = f"{self.used}level" if self.used else f"{self.level_bits}bit"
        flags = [flag for flag, on in (("per_filter", self.per_filter), ("zero", self.zero)) if on]
        dead = [f"dead={self.dead!r}"] if self.dead != 1 else []
        return " ".join([f"{DEGREES[self.degree]}/{levels}", *flags, *dead])


@dataclass(frozen=True)
class LayerPlan:
    """All that is decided about one layer.

    Parameters
    ----------
    out, in_, row, col
        The weight's four axes; None leaves an axis dense.
    ranked
        Levels on a curve, instead of axes.
    map
        (rows, columns) of the feature map that a Linear's inputs are the flatten of; None reads them as
        channels of one position. A convolution has its own rows and columns and ignores it.
    bits
        Bits per stored coefficient: 2 to 16, or 32 for float.
    prune
        Share of the coefficients, those that bear least on the weights, that quantised training keeps at 0.
    entropy
        Bits per coefficient that their entropy may have when rounding begins, which is what coded they take: steps are
        as fine as that allows, and `bits` is only as wide as the largest needs. None for the steps of least error in
        `bits`.
    bias, scale
        How the per-channel vectors left after folding batch normalisation follow the outputs; None stores
        every channel's own.
    bias_bits, scale_bits
        As `bits`, for those vectors.

    >>> print(LayerPlan(out=AxisPlan(1, 4), row=AxisPlan(2), bits=6))
    out=linear/4 row=quadratic bits=6
    """

    out: AxisPlan | None = None
    in_: AxisPlan | None = None
    row: AxisPlan | None = None
    col: AxisPlan | None = None
    ranked: RankedPlan | None = None
    map: tuple[int, int] | None = None
    bits: int = 8
    prune: float = 0.0
    entropy: float | None = None
    bias: AxisPlan | None = None
    bias_bits: int = 8
    scale: AxisPlan | None = None
    scale_bits: int = 8

    def __post_init__(self) -> None:
        if self.ranked is not None and any(self.by_axis):
            named = " ".join(name for name, axis in zip(AXES, self.by_axis, strict=True) if axis)
            raise PlanError(f"weights follow either their position ({named}) or a ranked curve, not both")
        if not 0 <= self.prune < 1:
            raise PlanError(f"prune={self.prune:g}; it is a share from 0 to below 1")
        if self.prune and self.ranked is not None:
            raise PlanError("prune is about coefficients by position; ranked weights become 0 by zero and dead")
        if self.entropy is not None and self.ranked is not None:
            raise PlanError("entropy is about coefficients by position; ranked weights have as many levels as it says")
        if self.entropy is not None and (self.bits == FLOAT_BITS or not 0 < self.entropy < self.bits):
            raise PlanError(
                f"entropy={self.entropy:g} of coefficients of bits={self.bits}; it is above 0 and below their width, "
                "and only integers have one"
            )
        if self.map is not None and (len(self.map) != 2 or min(self.map) < 1):
            raise PlanError(f"a map is (rows, columns), both positive, not {self.map}")
        for key in ("bits", "bias_bits", "scale_bits"):
            bits = getattr(self, key)
            if bits != FLOAT_BITS and not LEAST_COEFFICIENT_BITS <= bits <= LARGEST_COEFFICIENT_BITS:
                raise PlanError(
                    f"{key}={bits}; {LEAST_COEFFICIENT_BITS} to {LARGEST_COEFFICIENT_BITS} are possible, "
                    f"or {FLOAT_BITS} for float"
                )

    @property
    def by_axis(self) -> tuple[AxisPlan | None, AxisPlan | None, AxisPlan | None, AxisPlan | None]:
        """The plans of out, in, row, col."""
        return self.out, self.in_, self.row, self.col

    @property
    def dense(self) -> bool:
        """Whether every weight is kept as it is."""
        return self.ranked is None and not any(self.by_axis)

    def view(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return the (out, in, row, col) that a weight of `shape`, 4-D or 2-D, is read as.

        >>> LayerPlan(map=(5, 5)).view((120, 400))
        (120, 16, 5, 5)
        """
        if len(shape) == 4:
            return shape[0], shape[1], shape[2], shape[3]
        if len(shape) != 2:
            raise PlanError(
                f"a weight of shape {tuple(shape)} is neither a convolution's nor a fully connected layer's"
            )
        if self.map is None:
            for name, axis in (("row", self.row), ("col", self.col)):
                if axis is not None:
                    raise PlanError(
                        f"axis {name}: {name}={axis} needs the map that the {shape[1]} inputs are the flatten of: add "
                        f"map=HxW to its rule, give an example image, or leave {name} out of its rule"
                    )
            return shape[0], shape[1], 1, 1
        rows, columns = self.map
        if shape[1] % (rows * columns):
            raise PlanError(f"map={rows}x{columns} does not divide its {shape[1]} inputs")
        return shape[0], shape[1] // (rows * columns), rows, columns

    def axes(self, shape: tuple[int, ...]) -> tuple[Axis, Axis, Axis, Axis]:
        """Return the bases of out, in, row and col for a weight of `shape` (dense ones where ranked).

        >>> [axis.coefficients for axis in LayerPlan(out=AxisPlan(1, 4), row=AxisPlan(2)).axes((16, 6, 5, 5))]
        [8, 6, 3, 5]
        """
        out, in_, row, col = (
            _axis(name, axis, length) for name, axis, length in zip(AXES, self.by_axis, self.view(shape), strict=True)
        )
        return out, in_, row, col

    def loosened(self, shape: tuple[int, ...], times: int) -> LayerPlan:
        """Return the plan with every segment halved (and the levels doubled) `times` times.

        A segment stays longer than its polynomial has terms, so that each step still approximates.
        """
        out, in_, row, col = map(_loosen, self.by_axis, self.view(shape), (times,) * 4)
        bias, scale = (_loosen(vector, shape[0], times) for vector in (self.bias, self.scale))
        ranked = self.ranked.loosened(times) if self.ranked else None
        return replace(self, out=out, in_=in_, row=row, col=col, ranked=ranked, bias=bias, scale=scale)

    def __str__(self) -> str:
        from horner import _plan_text

        return _plan_text.write_layer(self)


@dataclass(frozen=True)
class Plan:
    """Rules, each a pattern of layer names and the plan of the layers it matches.

    >>> plan = Plan.parse("afsc; fc*: ranked=linear/4bit zero; fc3: dense")
    >>> print(plan)
    out=linear/4; fc*: ranked=linear/4bit zero; fc3: dense
    >>> Plan.parse(str(plan)) == plan
    True
    """

    rules: tuple[tuple[str, LayerPlan], ...] = ()

    def __post_init__(self) -> None:
        patterns = [pattern for pattern, _ in self.rules]
        for pattern in patterns:
            if not pattern or any(c in pattern for c in ";:#='\"") or len(pattern.split()) != 1:
                raise PlanError(f"{pattern!r} is not a pattern of layer names")
            if patterns.count(pattern) > 1:
                raise PlanError(f"two rules for {pattern}; join them")
        first = sorted(self.rules, key=lambda rule: rule[0] != EVERYTHING)  # where it stands means nothing
        object.__setattr__(self, "rules", tuple(first))

    @classmethod
    def parse(cls, text: str | os.PathLike[str] | Plan, bits: int | None = None) -> Plan:
        r"""Read a plan from its short text, from TOML text, or from a TOML file (a path, or text that ends in .toml).

        Parameters
        ----------
        text
            A `Plan` is returned as it is.
        bits
            Per stored coefficient of layers for which the text names no other, in place of 8.

        Raises
        ------
        PlanError
            When the text makes no sense; the message names the rule, or file, table and line.
        FileError
            When the file cannot be read.

        >>> Plan.parse('bits = 6\n["fc*"]\nranked = "linear/4bit"') == Plan.parse("fc*: ranked=linear/4bit", bits=6)
        True
        """
        from horner import _plan_text

        return text if isinstance(text, Plan) else cls(_plan_text.read(text, bits))

    def to_toml(self) -> str:
        """Return the plan as TOML."""
        from horner import _plan_text

        return _plan_text.write_toml(self.rules)

    def layer(self, name: str) -> LayerPlan:
        """Return the plan of the layer of that name; dense at the default bits where no rule matches."""
        rules = dict(self.rules)
        if name in rules:
            return rules[name]
        matching = [
            plan for pattern, plan in self.rules if pattern != EVERYTHING and fnmatch.fnmatchcase(name, pattern)
        ]
        return matching[-1] if matching else rules.get(EVERYTHING, LayerPlan())

    def match(
        self,
        model: nn.Module,
        filter_fn: Callable[[nn.Module, str], bool] | None = None,
        maps: Mapping[str, tuple[int, int]] | None = None,
    ) -> dict[str, LayerPlan]:
        """Return the plan of every Conv2d and Linear of a model, by name, in the model's order.

        Parameters
        ----------
        filter_fn
            Called with a module and its name; a layer for which it is false is left out.
        maps
            (rows, columns) of the feature map before each Linear, used where the rule speaks of rows or columns
            and has no map itself; see `horner.approximation.maps`.

        Raises
        ------
        PlanError
            When a pattern matches no layer, or an axis of the plan does not fit its layer.
        """
        return {name: plan for name, (_, plan) in self._matched(model, filter_fn, maps).items()}

    def rows(self, model: nn.Module, maps: Mapping[str, tuple[int, int]] | None = None) -> list[Row]:
        """Return what the plan makes of each layer of a model."""
        return [make_row(name, shape, plan) for name, (shape, plan) in self._matched(model, None, maps).items()]

    def table(self, model: nn.Module, maps: Mapping[str, tuple[int, int]] | None = None) -> Table:
        """Return `rows` and their totals as a table for the terminal."""
        return make_table(self.rows(model, maps))

    def tighten(
        self, model: nn.Module, steps: int, maps: Mapping[str, tuple[int, int]] | None = None
    ) -> tuple[Plan, ...]:
        """Return `steps` plans for gradual training, from loose (short segments, many levels) to this one."""
        if steps < 1:
            raise PlanError(f"a plan is tightened in at least 1 step, not {steps}")
        matched = self._matched(model, None, maps)
        loose = (
            Plan(tuple((name or EVERYTHING, plan.loosened(shape, times)) for name, (shape, plan) in matched.items()))
            for times in range(steps - 1, 0, -1)
        )
        return (*loose, self)

    def __str__(self) -> str:
        from horner import _plan_text

        return _plan_text.write(self.rules)

    def _matched(
        self,
        model: nn.Module,
        filter_fn: Callable[[nn.Module, str], bool] | None,
        maps: Mapping[str, tuple[int, int]] | None,
    ) -> dict[str, tuple[tuple[int, ...], LayerPlan]]:
        """Weight shape and plan of each layer, both checked."""
        layers = weighted(model)
        for pattern, _ in self.rules:
            if pattern != EVERYTHING and pattern not in layers and not fnmatch.filter(layers, pattern):
                raise PlanError(f"{pattern} matches no layer of the model; it has {_nearest(pattern, layers)}")
        matched = {}
        for name, module in layers.items():
            if filter_fn is not None and not filter_fn(module, name):
                continue
            shape, plan = weight_shape(module), self.layer(name)
            if min(shape) < 1:
                raise PlanError(f"layer {name} ({type(module).__name__}) has no shape yet; run the model on an example")
            if plan.map is None and len(shape) == 2 and (plan.row or plan.col):
                plan = replace(plan, map=(maps or {}).get(name))
            try:
                plan.axes(shape)
                _axis("bias", plan.bias, shape[0])
                _axis("scale", plan.scale, shape[0])
            except PlanError as error:
                raise PlanError(
                    f"layer {name or 'of the model'} ({type(module).__name__}, weight {shape}): {error}"
                ) from None
            matched[name] = shape, plan
        return matched


def weighted(model: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """Return the layers that plans speak of, Conv2d and Linear, by name."""
    from torch import nn

    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def weight_shape(module: nn.Module) -> tuple[int, ...]:
    """Return the shape of a layer's weight without computing the weight."""
    from torch import nn

    if isinstance(module, nn.Conv2d):
        return module.out_channels, module.in_channels // module.groups, *module.kernel_size
    assert isinstance(module, nn.Linear)
    return module.out_features, module.in_features


def _axis(name: str, plan: AxisPlan | None, length: int) -> Axis:
    try:
        return Axis(length) if plan is None else plan.axis(length)
    except PlanError as error:
        hint = f"; give a segment, for example {name}={DEGREES[plan.degree]}/4@{plan.nodes}" if plan else ""
        raise PlanError(f"axis {name}: {error}{hint}") from None


def _loosen(plan: AxisPlan | None, length: int, times: int) -> AxisPlan | None:
    if plan is None:
        return None
    segment = min(plan.segment or length, length)
    return replace(plan, segment=min(segment, max(plan.degree + 2, -(-segment >> times))))


def _check_degree(degree: int) -> None:
    if degree not in (0, 1, 2):
        raise PlanError(f"degree {degree} is not one of 0 (constant), 1 (linear), 2 (quadratic)")


def _nearest(pattern: str, names: Mapping[str, Any], most: int = 20) -> str:
    if not names:
        return "no Conv2d and no Linear"
    ranked = sorted(names, key=lambda name: -difflib.SequenceMatcher(None, pattern, name).ratio())
    more = len(ranked) - most
    return ", ".join(ranked[:most]) + (f" and {more} more" if more > 0 else "")
