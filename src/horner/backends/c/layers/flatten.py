"""Flattening in C: nothing, but where the program's input itself is its output."""

from __future__ import annotations

from horner.backends.c.part import Site, Step, shape, steps
from horner.backends.c.streams import Reach
from horner.program.layers import Flatten


@steps.register
def _(layer: Flatten, site: Site) -> tuple[Step, ...]:
    notes = (f"flatten, {shape(site.sources[0])} -> {shape(site.result)}",)
    return (Step(site.name, "flatten.c.jinja", notes, (Reach.whole(site.sources[0].shape[1]),), (0,)),)
