"""Max pooling in C."""

from __future__ import annotations

from horner.backends.c.part import Part, Site, part, shape
from horner.program.layers import MaxPool


@part.register
def _(layer: MaxPool, site: Site) -> Part:
    source, result = site.sources[0].shape, site.result.shape
    # windows leave the map before its start by padding, beyond its end also where sizes are rounded up
    leaves = any(
        p > 0 or (outputs - 1) * s + (k - 1) * d >= length
        for length, outputs, k, s, p, d in zip(
            source[1:], result[1:], layer.kernel, layer.stride, layer.padding, layer.dilation, strict=True
        )
    )
    notes = (
        f"maximum over windows, {shape(site.sources[0])} -> {shape(site.result)}",
        f"kernel {layer.kernel}, stride {layer.stride}, padding {layer.padding}, dilation {layer.dilation}",
    )
    return Part("max_pool.c.jinja", notes, {"layer": layer, "leaves": leaves})
