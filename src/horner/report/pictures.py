"""Pictures: filters before and after, polynomials against weights, levels on their curve, bytes by layer.

Figures are made without pyplot, so that neither the caller's backend nor its open figures are touched.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from horner._files import write_atomic
from horner.basis import Axis
from horner.basis import nodes as nodes_of
from horner.errors import HornerError

BEFORE, AFTER, CURVE = "#8793a0", "#c2410c", "#1d4ed8"
KINDS = ("#475569", "#c2410c", "#1d4ed8", "#15803d", "#a16207", "#7e22ce", "#0e7490", "#be185d")
FORMATS = ("png", "svg", "pdf")
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "figure.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "savefig.dpi": 150,
    "svg.hashsalt": "horner",  # the same names inside the file every time
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw in Horner's style; raise HornerError where there is no matplotlib."""

    @functools.wraps(draw)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        expect_matplotlib()
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return within


def expect_matplotlib() -> None:
    """Raise HornerError where there is no matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise HornerError("pictures need matplotlib: pip install 'horner[report]'") from error


@styled
def filters(
    before: np.ndarray,
    after: np.ndarray,
    path: str | os.PathLike[str],
    most: int = 16,
    names: tuple[str, str] = ("dense", "polynomial"),
) -> Path:
    """Draw a convolution's filters before and after, one above the other.

    Parameters
    ----------
    before, after
        Weights ``(out, in, row, col)``; the first input channel is drawn, every filter in units of its own largest
        weight, because batch normalisation makes a filter's scale mean nothing.
    path
        Ends in .png, .svg or .pdf.
    most
        Filters drawn.
    names
        What the two rows are called.
    """
    count = min(len(before), most)
    figure = new_figure(0.75 * count + 0.6, 2.0)
    places = figure.subplots(2, count, squeeze=False)
    for row, (title, weights) in enumerate(zip(names, (before, after), strict=True)):
        for number in range(count):
            place, image = places[row, number], weights[number, 0]
            reach = float(np.abs(image).max()) or 1.0
            place.imshow(image, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
            place.set(xticks=[], yticks=[])
        places[row, 0].set_ylabel(title)
    return save(figure, path)


@styled
def polynomials(
    before: np.ndarray,
    after: np.ndarray,
    axis: Axis,
    path: str | os.PathLike[str],
    lines: int = 6,
    titles: Sequence[str] = (),
    unit: str = "weight",
    names: tuple[str, str] = ("dense weight", "polynomial"),
) -> Path:
    """Draw weights along an axis with the polynomials that stand in their place.

    Parameters
    ----------
    before, after
        ``(lines, axis.length)``: dense weights, and the approximation's; the first `lines` are drawn.
    axis
        The segments: a curve is drawn through each of them, and a rule between two.
    path
        Ends in .png, .svg or .pdf.
    titles
        One for every line.
    unit
        What the vertical axis shows.
    names
        What the dots and the curves are called.
    """
    count = min(len(before), lines)
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = new_figure(3.0 * columns, 1.9 * rows + 0.4)
    places = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for place in places.flat[count:]:
        place.set_visible(False)
    for number, place in zip(range(count), places.flat, strict=False):
        place.axhline(0, color="black", linewidth=0.4)
        place.plot(before[number], "o", color=BEFORE, label=names[0], markersize=3.5)
        for segment, (start, size) in enumerate(axis.pieces if not axis.dense else ()):
            positions, values = curve(after[number], axis, start, size)
            place.plot(positions, values, color=AFTER, linewidth=1.4, label=None if segment else names[1])
            if start:
                place.axvline(start - 0.5, color="black", linewidth=0.3, linestyle=":")
        place.plot(after[number], "o", color=AFTER, markersize=2, label=names[1] if axis.dense else None)
        place.set_title(titles[number] if number < len(titles) else "")
    figure.supxlabel("position along the axis")
    figure.supylabel(unit)
    figure.legend(*places[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return save(figure, path)


@styled
def levels(
    levels: np.ndarray,
    before: np.ndarray,
    table: np.ndarray,
    path: str | os.PathLike[str],
    title: str = "",
    zero: bool = False,
) -> Path:
    """Draw dense weights over the level that each of them got, and the curve of the levels.

    Parameters
    ----------
    levels, before
        The level of every weight, and the weight, of one curve; any shape.
    table
        The weight of every level.
    path
        Ends in .png, .svg or .pdf.
    zero
        Whether level 0 is the weight 0, which is no point of the curve.
    """
    figure = new_figure(5.0, 3.0)
    place = figure.subplots()
    place.axhline(0, color="black", linewidth=0.4)
    place.plot(levels.ravel(), before.ravel(), "_", color=BEFORE, label="dense weight", markersize=9)
    place.plot(table, "o", color=AFTER, label="weight of the level", markersize=3.5)
    place.plot(np.arange(zero, len(table)), table[int(zero) :], color=AFTER, label="curve", linewidth=1.2)
    place.set(xlabel="level", ylabel="weight", title=title)
    place.legend()
    return save(figure, path)


@styled
def bytes_by_layer(parts: Mapping[str, Mapping[str, float]], path: str | os.PathLike[str]) -> Path:
    """Draw how the bytes of a file divide.

    Parameters
    ----------
    parts
        For every layer (and the file's frame), bytes by kind: graph, coefficients, levels, bias, ...; see `grouped`.
    path
        Ends in .png, .svg or .pdf.
    """
    layers = list(parts)
    kinds = list(dict.fromkeys(kind for sizes in parts.values() for kind in sizes))
    figure = new_figure(7.0, 0.32 * len(layers) + 1.1)
    place = figure.subplots()
    left = np.zeros(len(layers))
    for number, kind in enumerate(kinds):
        sizes = np.array([parts[layer].get(kind, 0.0) for layer in layers])
        place.barh(layers, sizes, left=left, label=kind, color=KINDS[number % len(KINDS)], height=0.7)
        left += sizes
    for y, total in enumerate(left):
        place.text(total, y, f" {total:,.0f}" if total >= 10 else f" {total:.1f}", va="center")
    place.invert_yaxis()
    place.set_xlabel(f"bytes, {left.sum():,.0f} together")
    place.margins(x=0.12)
    place.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper")
    return save(figure, path)


def grouped(parts: Sequence[tuple[str, float]]) -> dict[str, dict[str, float]]:
    """Sum the parts of `horner.program.file.breakdown` by layer and kind.

    >>> grouped([("header", 9.0), ("conv1 bias", 2.0), ("conv1 graph", 1.5)])
    {'file': {'header': 9.0}, 'conv1': {'bias': 2.0, 'graph': 1.5}}
    """
    layers: dict[str, dict[str, float]] = {}
    for part, size in parts:
        layer, _, kind = part.rpartition(" ")
        layers.setdefault(layer or "file", {})[kind] = size
    return layers


def save(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write a figure whole or not at all, the same bytes every time.

    Raises
    ------
    HornerError
        When the path ends in none of .png, .svg, .pdf, or cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise HornerError(f"{path}: a picture's name ends in {', '.join('.' + form for form in FORMATS)}")
    return write_atomic(path, encoded(figure, kind))


def encoded(figure: Any, kind: str) -> bytes:
    """Return a figure as png, svg or pdf, the same bytes every time."""
    buffer = io.BytesIO()
    undated: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(buffer, format=kind, metadata=undated[kind])
    return buffer.getvalue()


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def curve(values: np.ndarray, axis: Axis, start: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the polynomial of a segment between its positions: positions and values."""
    positions = np.linspace(start, start + size - 1, 16 * size)
    nodes = np.array(nodes_of(size, axis.nodes), float)
    fit = np.polyfit(nodes, values[start : start + size], min(axis.degree or 0, size - 1))
    return positions, np.polyval(fit, np.interp(positions - start, np.arange(size), nodes))
