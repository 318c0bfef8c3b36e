"""Addition of activations in C."""

from __future__ import annotations

from horner.backends.c.part import Part, Site, part, shape
from horner.program.layers import Add


@part.register
def _(layer: Add, site: Site) -> Part:
    notes = (f"sum of {len(layer.inputs)}, {shape(site.result)}",)
    return Part("add.c.jinja", notes, {"layer": layer})
