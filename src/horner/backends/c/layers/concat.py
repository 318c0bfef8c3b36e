"""Concatenation of activations in C."""

from __future__ import annotations

from horner.backends.c.part import Site, Step, shape, steps
from horner.backends.c.streams import Reach
from horner.backends.c.types import INT32, INT64
from horner.program.bounds import largest_input
from horner.program.integer import INT32_HIGH
from horner.program.layers import Concat


@steps.register
def _(layer: Concat, site: Site) -> tuple[Step, ...]:
    notes = (f"channels of {', '.join(map(shape, site.sources))} one after the other",)
    bounds = (largest_input(s) * abs(m) for s, m in zip(site.sources, layer.multipliers, strict=True))
    sums = [INT32 if bound + (1 << layer.shift) <= INT32_HIGH else INT64 for bound in bounds]
    reads = (Reach.same(site.result.shape[1]),) * len(layer.inputs)
    context = {"layer": layer, "sums": sums}
    return (Step(site.name, "concat.c.jinja", notes, reads, tuple(range(len(reads))), None, context),)
