"""Points that no other beats in accuracy and cost at once: found, thinned, tabulated and drawn."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from horner.report.pictures import AFTER, BEFORE, CURVE, new_figure, save, styled

if TYPE_CHECKING:
    from rich.table import Table

T = TypeVar("T")

UNITS = {"bytes": "bytes of the file", "operations": "multiplications and additions", "coefficients": "coefficients"}


@dataclass(frozen=True)
class Point:
    """A plan that was measured.

    Parameters
    ----------
    number
        Of its trial.
    drop
        Points of accuracy lost against the dense network, on the validation split.
    cost
        In units of the objective.
    """

    number: int
    drop: float
    cost: float


def front(points: Sequence[T], key: Callable[[T], tuple[float, float]]) -> list[T]:
    """Return the points that no other beats in both numbers, in the order of the second; of equals the first.

    >>> front([(3, 1), (1, 5), (2, 9), (2, 3), (2, 3)], key=lambda point: point)
    [(3, 1), (2, 3), (1, 5)]
    """
    kept: list[T] = []
    for point in sorted(points, key=lambda point: key(point)[::-1]):
        if not kept or key(point)[0] < key(kept[-1])[0]:
            kept.append(point)
    return kept


def worthwhile(points: Sequence[Point], max_drop: float, most: int) -> list[Point]:
    """Return the cheapest points of a front, and among them the cheapest that is within the budget as it is.

    What costs more than that one can only be more accurate than asked for; what costs less may yet come in.

    >>> ahead = [Point(0, 2.5, 10), Point(1, 1.9, 20), Point(2, 0.8, 30), Point(3, 0.1, 40)]
    >>> [[point.number for point in worthwhile(ahead, 0.9, most)] for most in (1, 2, 3)]
    [[2], [0, 2], [0, 1, 2]]
    """
    kept = list(points[:most])
    within = [point for point in points if point.drop <= max_drop][:1]
    return kept if not within or within[0] in kept else [*kept[:-1], *within]


def trials_table(points: Sequence[Point], objective: str, max_drop: float) -> Table:
    """Return the front of the trials so far, for the terminal."""
    table = _table(f"Front of the trials so far ({objective})", "trial", objective, "drop")
    for point in points:
        table.add_row(
            str(point.number), f"{point.cost:,.0f}", f"{point.drop:.2f}" + ("" if point.drop <= max_drop else " *")
        )
    return table


def results_table(rows: Sequence[dict[str, Any]], max_drop: float, dense: tuple[float, float]) -> Table:
    """Return the finalists on the front, one a line.

    Parameters
    ----------
    rows
        Of `horner.search.finalists`.
    dense
        The dense network's accuracy on the validation and on the test split.
    """
    table = _table("", "file", "bytes", "byte\nratio", "coeff.", "coeff.\nratio", "multi-\nplied", "added")
    for heading in ("validation\naccuracy", "drop", "test\naccuracy", "drop"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        counts = [f"{row['file_bytes']:,}", f"{row['byte_ratio']:.1f}x", f"{row['coefficients']:,}"]
        counts += [f"{row['coefficient_ratio']:.1f}x", f"{row['multiplications']:,}", f"{row['additions']:,}"]
        validation = [f"{row['validation_accuracy']:.2f} %", f"{row['validation_drop']:.2f}"]
        test = [f"{row['accuracy']:.2f} %", f"{row['drop']:.2f}"]
        name = Path(row["file"]).name + ("" if row["validation_drop"] <= max_drop else " *")
        table.add_row(name, *counts, *validation, *test)
    table.caption = (
        f"dense: {dense[0]:.2f} % of the validation images, {dense[1]:.2f} % of the test images\n"
        "chosen by validation accuracy alone; the test images were read for this table only"
        + (f"\n* loses more than {max_drop:g} points" if any(r["validation_drop"] > max_drop for r in rows) else "")
    )
    return table


@styled
def picture(
    trials: Sequence[Point], finalists: Sequence[Point], objective: str, max_drop: float, path: str | os.PathLike[str]
) -> Path:
    """Draw drop over cost: every trial after its short retraining, the finalists after their full one, the budget.

    Parameters
    ----------
    path
        Ends in .png, .svg or .pdf.
    """
    figure = new_figure(6.0, 3.6)
    place = figure.subplots()
    place.axhline(max_drop, color="black", linewidth=0.6, linestyle=":", label=f"budget, {max_drop:g} points")
    place.plot([t.cost for t in trials], [t.drop for t in trials], ".", color=BEFORE, label="trial, short retraining")
    best = front(finalists, key=lambda point: (point.drop, point.cost))
    place.plot([t.cost for t in finalists], [t.drop for t in finalists], "o", color=CURVE, label="finalist")
    place.plot([t.cost for t in best], [t.drop for t in best], "o-", color=AFTER, label="front of the finalists")
    place.set(xscale="log", yscale="symlog", xlabel=UNITS[objective], ylabel="points of validation accuracy lost")
    place.spines[["top", "right"]].set_visible(False)
    place.legend()
    return save(figure, path)


def _table(title: str, first: str, *others: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True, vertical="bottom")
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True, vertical="bottom")
    return table
