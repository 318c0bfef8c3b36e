"""What a plan makes of each layer of a model, and the table of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from horner.plan import LayerPlan


@dataclass(frozen=True)
class Row:
    """What a plan makes of one layer: counts of its weights alone, biases and scales apart.

    Parameters
    ----------
    shape
        (out, in, row, col) as the plan reads the weight.
    weights, coefficients
        Dense weights and stored coefficients (levels are not coefficients).
    bytes
        Of the coefficients at their bits, and of the levels.
    """

    name: str
    shape: tuple[int, int, int, int]
    plan: LayerPlan
    weights: int
    coefficients: int
    bytes: int

    @property
    def coefficient_ratio(self) -> float:
        """Dense weights / stored coefficients."""
        return self.weights / self.coefficients

    @property
    def byte_ratio(self) -> float:
        """Bytes of the dense float32 weights / `bytes`."""
        return 4 * self.weights / self.bytes


def make_row(name: str, shape: tuple[int, ...], plan: LayerPlan) -> Row:
    """Count what a plan makes of a layer with weights of a shape, 4-D or 2-D."""
    weights = math.prod(shape)
    if plan.ranked is None:
        coefficients, levels = math.prod(axis.coefficients for axis in plan.axes(shape)), 0
    else:
        curves = shape[0] if plan.ranked.per_filter else 1
        coefficients, levels = curves * plan.ranked.curve.coefficients, weights * plan.ranked.level_bits
    stored = -(-coefficients * plan.bits // 8) - (-levels // 8)
    return Row(name, plan.view(shape), plan, weights, coefficients, stored)


def make_table(rows: Sequence[Row]) -> Table:
    """Return rows and their totals as a table for the terminal."""
    from rich import box
    from rich.table import Table

    table = Table(
        title="Weights, without biases and scales",
        caption="first ratio: weights / coefficients; second: bytes of the weights as float32 / bytes",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("layer", no_wrap=True)
    for heading in ("out x in x row x col", "plan"):
        table.add_column(heading, overflow="fold")
    for heading in ("weights", "coeff.", "ratio", "bytes", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        cells = _cells(row.weights, row.coefficients, row.bytes)
        table.add_row(row.name, "x".join(map(str, row.shape)), str(row.plan), *cells)
    if rows:
        sums = [sum(getattr(row, key) for row in rows) for key in ("weights", "coefficients", "bytes")]
        table.add_section()
        table.add_row("total", "", "", *_cells(*sums))
    return table


def _cells(weights: int, coefficients: int, stored: int) -> list[str]:
    ratios = f"{weights / coefficients:.2f}", f"{4 * weights / stored:.2f}"
    return [f"{weights:,}", f"{coefficients:,}", ratios[0], f"{stored:,}", ratios[1]]
