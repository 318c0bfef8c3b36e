"""Average pooling in C, with windows that slide or that divide the map."""

from __future__ import annotations

import numpy as np

from horner.backends.c.part import Part, Site, part, shape
from horner.backends.c.types import FLOAT, signed, table
from horner.program.bounds import largest_input
from horner.program.layers import AdaptiveAveragePool, AveragePool


@part.register(AveragePool)
@part.register(AdaptiveAveragePool)
def _(layer: AveragePool | AdaptiveAveragePool, site: Site) -> Part:
    rows, columns = (np.array(spans) for spans in layer.windows(site.sources[0].shape[1:]))
    tables = (table(f"{site.name}_rows", rows), table(f"{site.name}_columns", columns))
    most = int(rows[:, 2].max() * columns[:, 2].max())
    reach = (largest_input(site.sources[0]) + 1) * most
    context = {"A": signed(-max(reach, 1 << 16), 0) if site.integer else FLOAT}
    notes = (
        f"mean over windows, {shape(site.sources[0])} -> {shape(site.result)}",
        f"up to {most} elements each; the tables hold start, stop and divisor of every window",
    )
    return Part("average_pool.c.jinja", notes, context, tables)
