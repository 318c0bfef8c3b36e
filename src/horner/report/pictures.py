"""Pictures: filters before and after, polynomials against weights, bytes by layer."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from horner._files import write_atomic
from horner.basis import Axis
from horner.errors import HornerError

BEFORE, AFTER, CURVE = "#9aa5b1", "#c2410c", "#1d4ed8"


def filters(before: np.ndarray, after: np.ndarray, path: Path, most: int = 16) -> Path:
    """Draw a convolution's filters before and after, one above the other.

    Parameters
    ----------
    before, after
        Weights ``(out, in, row, col)``; the first input channel is drawn.
    path
        Ends in .png, .svg or .pdf.
    """
    plt = _matplotlib()
    count = min(len(before), most)
    figure, places = plt.subplots(2, count, figsize=(1.1 * count, 2.6), squeeze=False)
    for row, (title, weights) in enumerate((("dense", before), ("polynomial", after))):
        reach = float(np.abs(weights[:count, 0]).max()) or 1.0
        for number in range(count):
            place = places[row, number]
            place.imshow(weights[number, 0], cmap="RdBu_r", vmin=-reach, vmax=reach)
            place.set_xticks([])
            place.set_yticks([])
            if number == 0:
                place.set_ylabel(title)
    figure.suptitle("filters before and after")
    return _save(figure, path)


def polynomials(before: np.ndarray, after: np.ndarray, axis: Axis, path: Path, lines: int = 6) -> Path:
    """Draw weights along an axis with the polynomials that replace them.

    Parameters
    ----------
    before, after
        ``(lines, axis.length)``: dense weights, and the approximation's; the first `lines` are drawn.
    axis
        The segments: curves are drawn piece by piece.
    path
        Ends in .png, .svg or .pdf.
    """
    plt = _matplotlib()
    count = min(len(before), lines)
    columns = min(count, 3)
    rows = -(-count // columns)
    figure, places = plt.subplots(rows, columns, figsize=(3.6 * columns, 2.2 * rows), squeeze=False, sharex=True)
    for place in places.flat[count:]:
        place.set_visible(False)
    for number, place in zip(range(count), places.flat, strict=False):
        place.plot(before[number], "o", color=BEFORE, label="dense weight", markersize=4)
        place.plot(after[number], "s", color=AFTER, label="stored polynomial", markersize=3)
        for start, size in axis.pieces:
            nodes = np.arange(start, start + size)
            degree = min(2 if axis.degree is None else axis.degree, size - 1)
            fine = np.linspace(nodes[0], nodes[-1], 50)
            place.plot(
                fine, np.polyval(np.polyfit(nodes, after[number, nodes], degree), fine), color=CURVE, linewidth=1
            )
        place.axhline(0, color="black", linewidth=0.4)
    places[0, 0].legend(fontsize=7, frameon=False)
    figure.suptitle(f"weights along an axis, {axis}")
    return _save(figure, path)


def bytes_by_layer(parts: Mapping[str, Mapping[str, float]], path: Path) -> Path:
    """Draw how the bytes of a file divide.

    Parameters
    ----------
    parts
        For every layer (and the file's frame), bytes by kind: graph, coefficients, levels, bias, ...
    path
        Ends in .png, .svg or .pdf.
    """
    plt = _matplotlib()
    layers = list(parts)
    kinds = list(dict.fromkeys(kind for sizes in parts.values() for kind in sizes))
    figure, place = plt.subplots(figsize=(7, 0.45 * len(layers) + 1.4))
    left = np.zeros(len(layers))
    for number, kind in enumerate(kinds):
        sizes = np.array([parts[layer].get(kind, 0.0) for layer in layers])
        place.barh(layers, sizes, left=left, label=kind, color=plt.get_cmap("tab10")(number % 10))
        left += sizes
    for y, total in enumerate(left):
        place.text(total, y, f" {total:.0f}", va="center", fontsize=8)
    place.invert_yaxis()
    place.set_xlabel("bytes")
    place.set_title(f"{left.sum():.0f} bytes by layer")
    place.legend(fontsize=7, frameon=False)
    place.margins(x=0.08)
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    buffer = io.BytesIO()
    figure.tight_layout()
    figure.savefig(buffer, format=path.suffix[1:], dpi=150, metadata={} if path.suffix == ".png" else {"Date": None})
    _matplotlib().close(figure)
    return write_atomic(path, buffer.getvalue())


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise HornerError("pictures need matplotlib: pip install 'horner[report]'") from error
    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def grouped(parts: Sequence[tuple[str, float]]) -> dict[str, dict[str, float]]:
    """Sort the parts of `horner.program.file.breakdown` by layer and kind.

    >>> grouped([("header", 9.0), ("conv1 bias", 2.0), ("conv1 graph", 1.5)])
    {'file': {'header': 9.0}, 'conv1': {'bias': 2.0, 'graph': 1.5}}
    """
    layers: dict[str, dict[str, float]] = {}
    for part, size in parts:
        layer, _, kind = part.rpartition(" ")
        layers.setdefault(layer or "file", {})[kind] = size
    return layers
