"""Addition of activations in C."""

from __future__ import annotations

from horner.backends.c.part import Site, Step, shape, steps
from horner.backends.c.streams import Reach
from horner.backends.c.types import INT32, INT64
from horner.program.bounds import largest_input
from horner.program.integer import INT32_HIGH
from horner.program.layers import Add


@steps.register
def _(layer: Add, site: Site) -> tuple[Step, ...]:
    notes = (f"sum of {len(layer.inputs)}, {shape(site.result)}",)
    bound = sum(largest_input(s) * abs(m) for s, m in zip(site.sources, layer.multipliers, strict=True))
    narrow = bound + (1 << layer.shift) <= INT32_HIGH
    reads = (Reach.same(site.result.shape[1]),) * len(layer.inputs)
    context = {"layer": layer, "A": INT32 if narrow else INT64}
    return (Step(site.name, "add.c.jinja", notes, reads, tuple(range(len(reads))), None, context),)
