"""Convolutions and fully connected layers in C, by the planned schedule: gather, core, spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from horner.backends.c.part import Part, Scratch, Site, part, shape
from horner.backends.c.sums import growth, runs
from horner.backends.c.types import FLOAT, INT32, INT64, UINT8, CType, Table, signed, table
from horner.backends.c.vector import vector
from horner.basis import Axis
from horner.program.bounds import accumulator
from horner.program.integer import INT8_HIGH, INT8_LOW, INT32_HIGH
from horner.program.layers import Conv
from horner.program.schedule import AXES, COL, IN, ROW, Schedule, core, count, plan
from horner.program.weights import Ranked


@dataclass(frozen=True)
class Stage:
    """The values one stage hands to the next, as the templates read them.

    Parameters
    ----------
    name
        `input`, `channels`, `rows` or `window`.
    type
        Of its elements.
    low, high
        Their range; the values of the input before its zero point is subtracted excepted.
    zero
        The zero point still to be subtracted.
    """

    name: str
    type: CType
    low: int
    high: int
    zero: int = 0

    def gathered(self, name: str, axis: Axis) -> Stage:
        """Return the stage that gathers this one along an axis."""
        low, high = self.low * growth(axis), self.high * growth(axis)
        return Stage(name, self.type if self.type is FLOAT else signed(low, high), low, high)


@part.register
def _(layer: Conv, site: Site) -> Part:
    source = site.sources[0]
    schedule = plan(layer, source, site.result)
    bound = accumulator(layer, source, schedule) if site.integer else 0
    sums = FLOAT if not site.integer else INT32 if bound <= INT32_HIGH else INT64
    axes = _axes(layer, schedule)
    sizes = dict(zip(AXES, (axis.coefficients for axis in axes), strict=True))
    map_stage, row_stage, window = _stages(layer, axes, schedule, site)
    tables = [table(f"{site.name}_core", core(layer, schedule))]
    planes = layer.groups * sizes["in"]
    scratch = _buffers(planes, sizes, site, map_stage, row_stage, window)
    context: dict[str, Any] = {
        "layer": layer,
        "kernel": layer.weights.shape[2:],
        "reused": schedule.reused,
        "by_level": schedule.by_level,
        "axes": dict(zip(AXES, map(runs, axes), strict=True)),
        "sizes": sizes,
        "planes": planes,
        "taps": sizes["in"] * sizes["row"] * sizes["col"],
        "filters_per_group": site.result.shape[0] // layer.groups,
        "map": map_stage,
        "rows": row_stage,
        "window": window,
        "A": sums,
        "core": tables[0],
    }
    if isinstance(layer.weights, Ranked) and schedule.by_level:
        tables.append(Table(f"{site.name}_levels", UINT8, _packed(layer.weights)))
        scratch.append(Scratch("levels", sums, 1 << layer.weights.level_bits))
        context["curve"] = runs(layer.weights.curve)[0]
    for name, stored in (("bias", layer.bias), ("multiplier", layer.output.multiplier)):
        form = context[name] = vector(f"{site.name}_{name}", stored) if stored is not None else None
        tables += [form.table] if form is not None and form.table is not None else []
        scratch += [form.scratch] if form is not None and form.scratch is not None else []
    return Part("conv.c.jinja", _notes(layer, site, schedule, sums, bound), context, tuple(tables), tuple(scratch))


def _axes(layer: Conv, schedule: Schedule) -> list[Axis]:
    """The axes as the schedule sees them: those it does not reuse are dense."""
    return [
        layer.weights.axes[i] if i in schedule.kept else Axis(length)  # type: ignore[union-attr]
        for i, length in enumerate(layer.weights.shape)
    ]


def _stages(layer: Conv, axes: list[Axis], schedule: Schedule, site: Site) -> tuple[Stage, Stage, Stage]:
    """The map, the line of rows, and the window, each of which may be the stage before it.

    Channels are gathered over the whole map, rows over one row of outputs, columns over one output. A layer that
    sees its whole input at once finds its window in the map.
    """
    zero = site.sources[0].zero_point
    stage = rows = window = Stage("input", site.activation, INT8_LOW - zero, INT8_HIGH - zero, zero)
    if IN in schedule.kept:
        stage = rows = window = stage.gathered("channels", axes[IN])
    if ROW in schedule.kept:
        rows = window = stage.gathered("rows", axes[ROW])
    whole = site.sources[0].shape[1:] == layer.weights.shape[2:] and not any(layer.padding)
    if not whole or {ROW, COL} & set(schedule.kept):
        window = rows.gathered("window", axes[COL])
    return stage, rows, window


def _buffers(planes: int, sizes: dict[str, int], site: Site, *stages: Stage) -> list[Scratch]:
    """Return a buffer for every stage that is one of its own."""
    _, height, width = site.sources[0].shape
    lengths = {
        "channels": planes * height * width,
        "rows": planes * sizes["row"] * width,
        "window": planes * sizes["row"] * sizes["col"],
    }
    own = {stage.name: stage for stage in stages if stage.name != "input"}
    return [Scratch(name, stage.type, lengths[name]) for name, stage in own.items()]


def _packed(weights: Ranked) -> np.ndarray:
    """Pack the levels, the low bits of a byte first; one byte more, as every level is read from two."""
    bits = np.unpackbits(weights.levels.reshape(-1, 1), axis=1, count=weights.level_bits, bitorder="little")
    return np.append(np.packbits(bits.ravel(), bitorder="little"), np.uint8(0))


def _notes(layer: Conv, site: Site, schedule: Schedule, sums: CType, bound: int) -> tuple[str, ...]:
    source, result = site.sources[0], site.result
    counts = count(layer, source, result, schedule)
    weights = layer.weights
    if isinstance(weights, Ranked):
        curves = "one curve" if len(weights.core) == 1 else "a curve per filter"
        stored = f"{weights.level_bits}-bit levels on {curves}, {weights.curve}"
    else:
        stored = ", ".join(f"{name} {axis}" for name, axis in zip(AXES, weights.axes, strict=True))
    return (
        f"convolution {weights.shape[ROW]}x{weights.shape[COL]}, {shape(source)} -> {shape(result)}",
        f"stride {layer.stride}, padding {layer.padding}, dilation {layer.dilation}, groups {layer.groups}",
        f"weights: {stored}; {weights.stored} values stored at {weights.bits} bits",
        f"sums reused: {schedule}",
        f"{counts.multiplications} multiplications, {counts.additions} additions, "
        f"{counts.requantisations} requantisations",
        f"sums in {sums}" + (f", magnitudes up to {bound}" if site.integer else ""),
    )
