"""Average pooling in C, with windows that slide or that divide the map."""

from __future__ import annotations

import numpy as np

from horner.backends.c.part import Site, Step, shape, steps
from horner.backends.c.streams import Reach
from horner.backends.c.types import FLOAT, signed, table
from horner.program.bounds import largest_input
from horner.program.layers import AdaptiveAveragePool, AveragePool


@steps.register(AveragePool)
@steps.register(AdaptiveAveragePool)
def _(layer: AveragePool | AdaptiveAveragePool, site: Site) -> tuple[Step, ...]:
    height = site.sources[0].shape[1]
    rows, columns = (np.array(spans) for spans in layer.windows(site.sources[0].shape[1:]))
    if isinstance(layer, AveragePool):
        reach = Reach(height, layer.stride[0], -layer.padding[0], layer.kernel[0] - layer.padding[0])
    else:
        reach = Reach(height, table=tuple((int(start), int(stop)) for start, stop, _ in rows))
    most = int(rows[:, 2].max() * columns[:, 2].max())
    bound = (largest_input(site.sources[0]) + 1) * most
    # windows that are all alike need no tables
    tables = tuple(
        table(f"{site.name}_{name}", spans) for name, spans in (("rows", rows), ("columns", columns)) if len(spans) > 1
    )
    context = {
        "A": signed(-max(bound, 1 << 16), 0) if site.integer else FLOAT,
        "rows": rows,
        "columns": columns,
    }
    notes = (
        f"mean over windows, {shape(site.sources[0])} -> {shape(site.result)}",
        f"up to {most} elements each" + ("; the tables hold start, stop and divisor of every window" if tables else ""),
    )
    return (Step(site.name, "average_pool.c.jinja", notes, (reach,), (0,), None, context, tables),)
