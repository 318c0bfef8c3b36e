"""The pictures of docs/results.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from horner.report.pictures import AFTER, BEFORE, KINDS, new_figure, save, styled
from tools.results.evidence import METRICS, Contest, Evidence, Runs
from tools.results.page import CURVES, contest_picture


def draw(evidence: Evidence, folder: Path) -> list[Path]:
    """Draw all of them, and return the files."""
    groups = [group for row in evidence.rows for group in evidence.runs[row.name] if group.runs]
    drawn = []
    for data, name in CURVES.items():
        ours = [group for group in groups if group.recipe.data == data]
        others = [point for point in evidence.published if point.data == data]
        drawn.append(_against_bytes(ours, others, data, folder / name))
    return drawn + [_untrained(contest, folder / contest_picture(contest)) for contest in evidence.contests]


@styled
def _against_bytes(ours: Sequence[Runs], others: Sequence[Any], data: str, path: Path) -> Path:
    """Test error against bytes: medians with their ranges, beside published models."""
    figure = new_figure(7.0, 3.6)
    place = figure.subplots()
    for point in others:
        hollow = {"markerfacecolor": "none"} if point.secondary else {}
        place.plot(point.bytes, point.error, "o", color=BEFORE, markersize=5, **hollow)
        _label(place, point.bytes, point.error, point.name, BEFORE)
    for group in ours:
        sizes, errors = ([METRICS[name].of(run) for run in group.runs] for name in ("file_bytes", "error"))
        x, y = median(sizes), median(errors)
        place.plot([x, x], [min(errors), max(errors)], color=AFTER, linewidth=1)
        place.plot([min(sizes), max(sizes)], [y, y], color=AFTER, linewidth=1)
        place.plot(x, y, "D", color=AFTER, markersize=5)
        _label(place, x, y, group.preset, AFTER)
    place.set_xscale("log")
    place.set(xlabel="bytes of the whole model", ylabel="test error, %", title=f"{data}: Horner in colour, others grey")
    place.set_ylim(bottom=0)
    place.margins(x=0.2)
    place.spines[["top", "right"]].set_visible(False)
    return save(figure, path)


def _label(place: Any, x: float, y: float, text: str, colour: str) -> None:
    place.annotate(text, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=6.5, color=colour)


@styled
def _untrained(contest: Contest, path: Path) -> Path:
    """Accuracy against byte ratio, a colour for each method."""
    figure = new_figure(7.0, 3.6)
    place = figure.subplots()
    methods = list(dict.fromkeys(point.method for point in contest.points))
    for number, method in enumerate(methods):
        points = sorted((p for p in contest.points if p.method == method), key=lambda p: p.byte_ratio)
        mark = "o" if method.startswith("Horner") else "x"
        ratios, accuracies = [p.byte_ratio for p in points], [p.accuracy for p in points]
        place.plot(ratios, accuracies, mark, label=method, color=KINDS[number % len(KINDS)], markersize=4)
    place.axhline(contest.dense.accuracy, color="black", linewidth=0.5, linestyle="--")
    place.set_xscale("log")
    place.set(xlabel="byte ratio", ylabel="test accuracy, %", title=f"{contest.model}, {contest.data}; dashed: dense")
    place.spines[["top", "right"]].set_visible(False)
    place.legend()
    return save(figure, path)
