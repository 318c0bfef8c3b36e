"""Concatenation of activations in C."""

from __future__ import annotations

from horner.backends.c.part import Part, Site, part, shape
from horner.program.layers import Concat


@part.register
def _(layer: Concat, site: Site) -> Part:
    notes = (f"channels of {', '.join(map(shape, site.sources))} one after the other",)
    return Part("concat.c.jinja", notes, {"layer": layer})
