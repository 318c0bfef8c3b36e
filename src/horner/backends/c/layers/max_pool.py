"""Max pooling in C."""

from __future__ import annotations

from horner.backends.c.part import Site, Step, shape, steps
from horner.backends.c.streams import Reach
from horner.program.layers import MaxPool


@steps.register
def _(layer: MaxPool, site: Site) -> tuple[Step, ...]:
    # windows leave the map before its start by padding, beyond its end also where sizes are rounded up
    leaves = [
        p > 0 or (outputs - 1) * s + (k - 1) * d >= length
        for length, outputs, k, s, p, d in zip(
            site.sources[0].shape[1:],
            site.result.shape[1:],
            layer.kernel,
            layer.stride,
            layer.padding,
            layer.dilation,
            strict=True,
        )
    ]
    notes = (
        f"maximum over windows, {shape(site.sources[0])} -> {shape(site.result)}",
        f"kernel {layer.kernel}, stride {layer.stride}, padding {layer.padding}, dilation {layer.dilation}",
    )
    first = -layer.padding[0]
    stop = first + (layer.kernel[0] - 1) * layer.dilation[0] + 1
    reads = (Reach(site.sources[0].shape[1], layer.stride[0], first, stop),)
    context = {"layer": layer, "leaves_rows": leaves[0], "leaves_columns": leaves[1]}
    return (Step(site.name, "max_pool.c.jinja", notes, reads, (0,), None, context),)
