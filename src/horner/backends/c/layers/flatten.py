"""Flattening in C: nothing, but where the program's input itself is its output."""

from __future__ import annotations

from horner.backends.c.part import Part, Site, part, shape
from horner.program.layers import Flatten


@part.register
def _(layer: Flatten, site: Site) -> Part:
    return Part("flatten.c.jinja", (f"flatten, {shape(site.sources[0])} -> {shape(site.result)}",))
