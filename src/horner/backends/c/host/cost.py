"""How long a convolution takes, estimated from what its kernel does; and the choice of the cheapest.

A choice is a schedule, an operand and a kernel. Its features (products of vectors, copies, sums, ...) are counted
exactly; what each costs on an instruction set is calibrated by measurement (`horner bench --calibrate`).
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Iterator

from horner._files import cache_folder
from horner.backends.c.host.filters import Filters
from horner.backends.c.host.isa import Isa
from horner.backends.c.host.operand import F32, F64, I16, U8
from horner.backends.c.host.positions import Positions
from horner.backends.c.host.work import Kernel, Work
from horner.errors import HornerError
from horner.program.layers import Conv, MaxPool, Value
from horner.program.schedule import COL, DENSE, IN, OUT, ROW, possible
from horner.program.weights import FLOAT_BITS, Ranked

FEATURES = {
    "products": "vectors multiplied and added",
    "loads": "vectors and coefficients loaded by the core",
    "weights": "bytes of coefficients read",
    "copies": "vectors copied into a tile",
    "runs": "runs of positions, for every row of words",
    "sums": "vectors loaded, added and stored by gathers",
    "prepared": "vectors of words made of the input",
    "rows": "rows of the map prepared",
    "scalars": "values handled one by one",
    "spread": "vectors added by spreading and pooling",
    "activations": "vectors of activations made of sums",
    "blocks": "blocks of coefficients started by the core",
    "layer": "layers",
}
"""What a kernel does, counted."""

_AVX512 = {
    "products": 0.2767,
    "loads": 0.0185,
    "weights": 0.0051,
    "copies": 1.0126,
    "runs": 0.0146,
    "sums": 0.3174,
    "prepared": 0.0,
    "rows": 0.0,
    "scalars": 0.1684,
    "spread": 0.0,
    "activations": 1.9673,
    "blocks": 0.0,
    "layer": 353.1902,
}
_AVX2 = {
    "products": 0.1706,
    "loads": 0.0,
    "weights": 0.0057,
    "copies": 0.4064,
    "runs": 0.0,
    "sums": 0.1441,
    "prepared": 0.6027,
    "rows": 0.0,
    "scalars": 0.1579,
    "spread": 0.134,
    "activations": 1.2566,
    "blocks": 2.7113,
    "layer": 369.6093,
}
_PORTABLE = {
    "products": 0.2535,
    "loads": 0.0,
    "weights": 0.0014,
    "copies": 0.1409,
    "runs": 0.0,
    "sums": 0.1259,
    "prepared": 0.8313,
    "rows": 0.0,
    "scalars": 0.1553,
    "spread": 0.0,
    "activations": 1.5934,
    "blocks": 0.0,
    "layer": 413.9267,
}
COSTS = {
    "avx512vnni": _AVX512,
    "avx512": _AVX512,
    "avx2": _AVX2,
    "neon": _PORTABLE,
    "portable": _PORTABLE,
}
"""Nanoseconds by instruction set, as `horner bench --calibrate` measured them on one machine (docs/performance.md)."""


MARGIN, LEAST_GAIN = 0.05, 20.0
"""What reuse must promise to save: a share of the dense layer's time, and nanoseconds."""


def choose(conv: Conv, source: Value, result: Value, pool: MaxPool | None, isa: Isa) -> Work:
    """Return the cheapest way to do a convolution, the pool on the way out where that is possible.

    Sums are reused only where the estimate promises more than its own error: what is no gain should be no loss.
    """
    ways = sorted(choices(conv, source, result, pool, isa), key=cost)
    dense = next(way for way in ways if not way.schedule.reused)
    return ways[0] if cost(ways[0]) < cost(dense) * (1 - MARGIN) - LEAST_GAIN else dense


def choices(conv: Conv, source: Value, result: Value, pool: MaxPool | None, isa: Isa) -> Iterator[Work]:
    """Give every way to do a convolution that is exact."""
    integer, found = conv.weights.bits != FLOAT_BITS, False
    schedules = [DENSE] if isinstance(conv.weights, Ranked) else possible(conv)
    kernels: tuple[Kernel, ...] = ("positions", "filters")
    for schedule, kernel in itertools.product(schedules, kernels):
        for operand in (U8, I16, F64) if integer else (F32,):
            work = Work(conv, source, result, pool if kernel == "positions" else None, schedule, operand, kernel, isa)
            if work.fits:
                yield work
                found = True
                if operand is not U8:  # the wider one is never faster
                    break
    if not found:
        yield Work(conv, source, result, None, DENSE, F64, "wide", isa)


def cost(work: Work) -> float:
    """Estimate the nanoseconds of one image, by what was measured on this machine if anything was."""
    return estimate(work, _costs(work.isa.name))


def estimate(work: Work, costs: dict[str, float]) -> float:
    """Estimate the nanoseconds of one image from the cost of every feature."""
    return sum(costs[name] * amount for name, amount in features(work).items())


@functools.cache
def _costs(isa: str) -> dict[str, float]:
    try:
        measured = json.loads((cache_folder() / "c" / f"costs-{isa}.json").read_text())
        return {name: float(measured[name]) for name in FEATURES}
    except (OSError, HornerError, ValueError, KeyError, TypeError):
        return COSTS[isa]


def features(work: Work) -> dict[str, float]:
    """Count what a kernel does."""
    if work.kernel == "wide":
        return {"scalars": work.result.size * work.taps * 4.0}
    found = dict.fromkeys(FEATURES, 0.0)
    found["layer"] = 1
    lanes, parts = work.lanes, work.operand.parts
    _, height, width = work.source.shape
    channels = work.groups * work.channels
    if work.reuses(IN):
        gathers = work.groups * (work.axes[IN].gather_additions + work.conv.weights.shape[1])
        plane = height * width
        if plane >= lanes:
            found["sums"] += gathers * math.ceil(plane / (lanes * (parts if plane >= lanes * parts else 1)))
        else:
            found["scalars"] += gathers * plane
    spreads = work.axes[OUT].spread_additions if work.reuses(OUT) else 0
    (_positions if work.kernel == "positions" else _filters)(work, found, channels, spreads)
    return found


def _positions(work: Work, found: dict[str, float], channels: int, spreads: int) -> None:
    layout = Positions(work)
    lanes = work.lanes
    words = work.groups * math.prod(work.words)
    vectors = -(-work.positions // lanes) * work.members
    rows = work.groups * work.words[0] * layout.needed[0]
    found["rows"] += rows * (work.operand.parts + layout.phases) / 2
    found["prepared"] += rows * layout.phases * math.ceil(layout.row / lanes) * work.operand.parts
    width = work.size[1]
    runs = sum(
        (min((t + 1) * layout.step, work.positions) - 1) // width - t * layout.step // width + 1
        for t in range(-(-work.positions // layout.step))
    )
    chunks = runs * math.ceil(min(width, layout.step) / lanes)
    groups_words = work.groups * work.words[0]
    kernel_rows = work.words[1]
    half = 0.5 if work.paired_late or layout.narrow else 1.0
    if work.paired_late:
        groups_words, kernel_rows = work.groups, work.axes[ROW].coefficients
    if work.reuses(ROW):
        size = work.axes[ROW]
        spans = runs * math.ceil(layout.sum_row / lanes) * layout.phases
        found["sums"] += half * (
            groups_words * work.window[0] * spans * (size.gather_additions + size.length + size.coefficients)
        )
    if work.reuses(COL):
        size = work.axes[COL]
        found["sums"] += half * (
            groups_words
            * kernel_rows
            * work.members
            * chunks
            * (size.gather_additions + size.length + size.coefficients)
        )
    else:
        found["copies"] += chunks * words * work.members
    found["runs"] += runs * groups_words * kernel_rows * work.window[0]
    for tile, times in zip(layout.variants, _times(layout), strict=True):
        held = tile.vectors * work.members
        for block in tile.blocks:
            count = block.count * times
            found["products"] += count * words * block.rows * held
            found["loads"] += count * words * (block.rows + held)
            found["blocks"] += count * work.groups
            found["weights"] += count * words * block.rows * 4
    found["spread"] += work.groups * spreads * vectors
    outputs = work.conv.weights.shape[0] * vectors / work.members
    found["activations"] += outputs
    found["spread"] += (work.members - 1) * outputs


def _times(layout: Positions) -> list[int]:
    full, rest = layout.tiles
    return ([full] if full else []) + ([1] if rest else [])


def _filters(work: Work, found: dict[str, float], channels: int, spreads: int) -> None:
    layout = Filters(work)
    positions = work.positions
    products = work.groups * layout.tap_words * layout.vectors * positions
    found["products"] += products
    batches = math.ceil(positions / layout.batch)
    found["loads"] += work.groups * layout.tap_words * (layout.vectors * batches + positions * len(layout.blocks))
    found["weights"] += work.groups * layout.tap_words * layout.vectors * work.lanes * 4 * batches
    found["blocks"] += work.groups * batches * sum(block.count for block in layout.blocks)
    filters = work.conv.weights.shape[0]
    found["activations"] += positions * math.ceil(filters / work.lanes)
    if layout.flat:
        found["prepared"] += 0 if layout.direct else channels * math.prod(work.kernel_size) / work.lanes
    else:
        found["scalars"] += channels * layout.needed[0] * layout.needed[1] / 4
        size = layout.work.taps * work.groups * positions
        found["scalars"] += size
        if work.reuses(ROW):
            found["scalars"] += positions * channels * work.kernel_size[1] * work.axes[ROW].gather_additions
        if work.reuses(COL):
            rows = work.axes[ROW].coefficients
            found["scalars"] += positions * channels * rows * work.axes[COL].gather_additions
    if work.reuses(OUT):
        found["scalars"] += work.groups * positions * (spreads + filters / work.groups)
    if positions > 1:
        found["scalars"] += positions * filters
