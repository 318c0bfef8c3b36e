"""Convolutions and fully connected layers in C, by the planned schedule: gather, core, spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from horner.backends.c.core import BLOCK, Core, coefficients, compact, packed
from horner.backends.c.part import Padding, Scratch, Site, Step, shape, steps
from horner.backends.c.rescale import rescale
from horner.backends.c.streams import Reach, Stream
from horner.backends.c.sums import runs, stored_growth
from horner.backends.c.types import FLOAT, INT16, INT32, INT64, UINT8, UINT32, UINT64, CType, Table, signed, table
from horner.backends.c.vector import Vector, vector
from horner.basis import Axis
from horner.program.bounds import accumulator, largest_input
from horner.program.integer import INT32_HIGH
from horner.program.layers import Conv
from horner.program.schedule import AXES, COL, DENSE, IN, OUT, ROW, Schedule, count, plan
from horner.program.weights import Ranked


@dataclass(frozen=True)
class Stage:
    """The values one stage hands to the next.

    Parameters
    ----------
    type
        Of its elements.
    bound
        Of their magnitudes, once the zero point is subtracted.
    zero
        The zero point still to be subtracted.
    """

    type: CType
    bound: int
    zero: int = 0

    def gathered(self, axis: Axis, sums: CType) -> Stage:
        """Return the stage that gathers this one along an axis; sums wider than the accumulators wrap as they do."""
        if sums is FLOAT:
            return Stage(FLOAT, 0)
        bound = self.bound * stored_growth(axis)
        kind = max(INT16, signed(-bound, bound), key=lambda t: t.bytes)
        return Stage(min(kind, INT32 if sums is UINT32 else INT64, key=lambda t: t.bytes), bound)


@dataclass(frozen=True)
class Plan:
    """What was decided about a convolution: the schedule, its axes as that sees them, its stages and types."""

    schedule: Schedule
    axes: tuple[Axis, Axis, Axis, Axis]
    map: Stage
    rows: Stage
    window: Stage
    sums: CType
    result: CType

    @property
    def sizes(self) -> tuple[int, ...]:
        """Coefficients along each axis."""
        return tuple(axis.coefficients for axis in self.axes)


@steps.register
def _(layer: Conv, site: Site) -> tuple[Step, ...]:
    decided = _decide(layer, site)
    main = _main(layer, site, decided)
    return (_gather(layer, site, decided), main) if IN in decided.schedule.kept else (main,)


def _decide(layer: Conv, site: Site) -> Plan:
    source = site.sources[0]
    schedule = plan(layer, source, site.result)
    sums, result = FLOAT, FLOAT
    if site.integer:
        # only the last sum must fit: those before it may wrap and nothing is lost
        fits = accumulator(layer, source, DENSE) <= INT32_HIGH
        sums, result = (UINT32, INT32) if fits else (UINT64, INT64)
    axes = tuple(
        layer.weights.axes[i] if i in schedule.kept else Axis(length)  # type: ignore[union-attr]
        for i, length in enumerate(layer.weights.shape)
    )
    stage = Stage(site.activation, largest_input(source) if site.integer else 0, source.zero_point)
    if IN in schedule.kept:
        stage = stage.gathered(axes[IN], sums)
    rows = stage.gathered(axes[ROW], sums)
    return Plan(schedule, axes, stage, rows, rows.gathered(axes[COL], sums), sums, result)  # type: ignore[arg-type]


def _gather(layer: Conv, site: Site, decided: Plan) -> Step:
    """Channels, gathered at every pixel: a stream of its own, so that the rows before it are needed once."""
    _, height, width = site.sources[0].shape
    planes = layer.groups * decided.sizes[IN]
    context = {
        "groups": layer.groups,
        "runs": runs(decided.axes[IN]),
        "per_group": layer.weights.shape[IN],
        "zero": site.sources[0].zero_point,
        "A": decided.sums,
    }
    made = Stream((planes, height, width), decided.map.type)
    notes = (f"channels of {site.name} gathered, {shape(site.sources[0])} -> {shape(made)}",)
    return Step(f"{site.name}_gather", "conv/gather.c.jinja", notes, (Reach.same(height),), (0,), made, context)


def _main(layer: Conv, site: Site, decided: Plan) -> Step:
    _, height, width = site.sources[0].shape
    kernel, sizes = layer.weights.shape[2:], decided.sizes
    planes = layer.groups * sizes[IN]
    taps = sizes[IN] * sizes[ROW] * sizes[COL]
    lines = site.pool.kernel[0] if site.pool else 1
    first, step = -layer.padding[0], lines * layer.stride[0]
    stop = first + step - layer.stride[0] + (kernel[0] - 1) * layer.dilation[0] + 1
    reach = Reach(height, step, first, stop)
    width_made = (
        site.result.shape[2] // site.pool.kernel[1] * site.pool.kernel[1] if site.pool else site.result.shape[2]
    )
    columns = (width_made - 1) * layer.stride[1] + (kernel[1] - 1) * layer.dilation[1] + 1
    gathered = IN in decided.schedule.kept
    # a gathered row is itself what a kernel of one row needs
    own_rows = bool(site.pool) or not gathered or kernel[0] > 1 or any(layer.padding) or ROW in decided.schedule.kept
    row_width = columns if own_rows else width
    own_window = bool(site.pool) or COL in decided.schedule.kept or site.result.shape[2] > 1 or row_width != sizes[COL]
    core = _core(layer, site, decided)
    lanes = 4 // core.table.type.bytes if core.table.type.bytes <= 2 else 0
    if (
        site.target.dsp
        and lanes
        and not core.shifts
        and not decided.schedule.by_level
        and layer.groups == 1
        and (decided.sums, decided.window.type) == (UINT32, INT16)
        and (own_window or taps % lanes == 0)  # another's buffer must not be read beyond its end
    ):
        core = packed(core, core.table.name)
    tables = [core.table, *([core.shifts] if core.shifts else [])]
    scratch = []
    if own_rows:
        scratch.append(Scratch("rows", decided.rows.type, planes * sizes[ROW] * row_width))
    if own_window:
        length = planes * sizes[ROW] * sizes[COL]
        scratch.append(Scratch("window", decided.window.type, length + (-length % core.lanes if core.lanes else 0)))
    # a dense axis of filters hands its sums to the pool at once
    if core.lanes and not (site.pool and OUT not in decided.schedule.kept):
        scratch.append(Scratch("sums", UINT32, sizes[OUT]))
    context: dict[str, Any] = {
        "layer": layer,
        "kernel": kernel,
        "schedule": decided.schedule,
        "runs": dict(zip(AXES, map(runs, decided.axes), strict=True)),
        "sizes": dict(zip(AXES, sizes, strict=True)),
        "planes": planes,
        "taps": taps,
        "map": decided.map,
        "rows": decided.rows,
        "window": decided.window,
        "own_rows": own_rows,
        "own_window": own_window,
        "row_width": row_width,
        "left": layer.padding[1],
        "inside": max(min(width, columns - layer.padding[1]), 0),
        "A": decided.sums,
        "R": decided.result,
        "core": core,
        "block": BLOCK,
        "pool": site.pool,
        "filters_per_group": site.result.shape[0] // layer.groups,
    }
    if site.pool:
        pooled = site.result.shape[2] // site.pool.kernel[1]
        scratch.append(Scratch("largest", decided.result, pooled * site.result.shape[0]))
    if isinstance(layer.weights, Ranked) and decided.schedule.by_level:
        tables.append(Table(f"{site.name}_levels", UINT8, _packed(layer.weights)))
        scratch.append(Scratch("levels", decided.sums, 1 << layer.weights.level_bits))
        context["curve"] = runs(layer.weights.curve)[0]
    for name, stored in (("bias", layer.bias), ("multiplier", layer.output.multiplier)):
        form: Vector | None = vector(f"{site.name}_{name}", stored) if stored is not None else None
        context[name] = form
        tables += [form.table] if form is not None and form.table is not None else []
        scratch += [form.scratch] if form is not None and form.scratch is not None else []
    bound = accumulator(layer, site.sources[0], DENSE) if site.integer else 0
    if site.integer:
        context["rescale"] = rescale(layer.output, bound, site.target.small)
    notes = _notes(layer, site, decided, bound)
    padding = None
    if layer.padding[0]:
        padding = Padding(decided.map.type, decided.map.zero if site.integer else 0, width)
    source = f"{site.name}_gather" if gathered else 0
    return Step(
        site.name, "conv.c.jinja", notes, (reach,), (source,), None, context, tuple(tables), tuple(scratch), padding
    )


def _core(layer: Conv, site: Site, decided: Plan) -> Core:
    values = coefficients(layer.weights, decided.schedule)
    out = decided.axes[OUT].orders if OUT in decided.schedule.kept else np.zeros(len(values), np.uint8)
    if isinstance(layer.weights, Ranked) and decided.schedule.by_level:
        return Core(table(f"{site.name}_core", values))
    terms = runs(decided.axes[IN])[0].terms
    places = decided.sizes[ROW] * decided.sizes[COL]
    periods = (1, decided.sizes[COL], places, terms * places, values[0].size)
    flat = values.reshape(len(values), -1)
    return compact(f"{site.name}_core", flat, out[: len(values)], periods, decided.sums, site.target)


def _packed(weights: Ranked) -> np.ndarray:
    """Pack the levels, the low bits of a byte first; one byte more, as every level is read from two."""
    bits = np.unpackbits(weights.levels.reshape(-1, 1), axis=1, count=weights.level_bits, bitorder="little")
    return np.append(np.packbits(bits.ravel(), bitorder="little"), np.uint8(0))


def _notes(layer: Conv, site: Site, decided: Plan, bound: int) -> tuple[str, ...]:
    source, result, weights = site.sources[0], site.result, layer.weights
    counts = count(layer, source, result, decided.schedule)
    if isinstance(weights, Ranked):
        curves = "one curve" if len(weights.core) == 1 else "a curve per filter"
        stored = f"{weights.level_bits}-bit levels on {curves}, {weights.curve}"
    else:
        stored = ", ".join(f"{name} {axis}" for name, axis in zip(AXES, weights.axes, strict=True))
    pooled = f", of which the largest of {site.pool.kernel[0]}x{site.pool.kernel[1]} are kept" if site.pool else ""
    return (
        f"convolution {weights.shape[ROW]}x{weights.shape[COL]}, {shape(source)} -> {shape(result)}{pooled}",
        f"stride {layer.stride}, padding {layer.padding}, dilation {layer.dilation}, groups {layer.groups}",
        f"weights: {stored}; {weights.stored} values stored at {weights.bits} bits",
        f"sums reused: {decided.schedule}",
        f"{counts.multiplications} multiplications, {counts.additions} additions, "
        f"{counts.requantisations} requantisations",
        f"sums in {decided.result}" + (f", magnitudes up to {bound} at the end" if site.integer else ""),
    )
