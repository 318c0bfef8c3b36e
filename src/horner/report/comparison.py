"""The pictures of one approximation: its network before and after, and the file it became."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from torch import nn

from horner.approximation.layers import Form, approximated, originals
from horner.approximation.positional import PositionalWeight
from horner.approximation.ranked import RankedWeight
from horner.basis import Axis
from horner.errors import HornerError, ModelError
from horner.program.file import breakdown
from horner.program.program import Program
from horner.program.schedule import AXES
from horner.report import pictures

FILTERS = "filters before and after"
POLYNOMIALS = "polynomials against weights"
BYTES = "bytes by layer"

LINES = 6
LONGEST = 64
"""Positions drawn of an axis; more are unreadable."""

Layers = dict[str, tuple[nn.Conv2d | nn.Linear, Form]]


def draw(before: nn.Module, after: nn.Module, program: Program, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Draw what an approximation did; return the pictures' paths by what they show.

    Parameters
    ----------
    before
        The dense network, its filters in the order in which they were approximated. It may have been trained on
        since, so weights are drawn in units of their layer's rms.
    after
        The approximated one, parametrizations in place; layers have the same names.
    program
        What it became.
    folder
        Where ``filters.png``, ``polynomials.png`` and ``bytes.png`` are written.

    Returns
    -------
    dict
        `filters before and after`, of the first approximated convolution whose kernel has rows or columns (left out
        where there is none); `polynomials against weights`, along the longest approximated axis, or of a ranked
        layer's curve; `bytes by layer`.

    Raises
    ------
    ModelError
        When nothing is approximated, or the networks differ.
    HornerError
        When matplotlib is missing, or a picture cannot be written.
    """
    layers = approximated(after)
    if not layers:
        raise ModelError("nothing to draw: no layer of the network is approximated")
    folder = Path(folder)
    found = {
        FILTERS: _filters(before, layers, folder / "filters.png"),
        POLYNOMIALS: _curves(before, layers, folder / "polynomials.png"),
        BYTES: pictures.bytes_by_layer(pictures.grouped(breakdown(program)), folder / "bytes.png"),
    }
    return {name: path for name, path in found.items() if path is not None}


def _filters(before: nn.Module, layers: Layers, path: Path) -> Path | None:
    for name, (module, _) in layers.items():
        if isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1:
            return pictures.filters(_dense(before, name, module), _values(module), path)
    return None


def _curves(before: nn.Module, layers: Layers, path: Path) -> Path:
    """Draw the lines of largest dense weights along the longest approximated axis, or a ranked layer's first curve."""
    axes = [
        (axis.length, name, at)
        for name, (_, form) in layers.items()
        if isinstance(form, PositionalWeight)
        for at, axis in enumerate(form.axes)
        if not axis.dense
    ]
    if not axes:
        return _ranked(before, layers, path)
    _, name, at = max(axes, key=lambda entry: entry[0])
    module, form = layers[name]
    assert isinstance(form, PositionalWeight)
    axis = form.axes[at]
    shown = _beginning(axis)
    old, new = (
        np.moveaxis(_in_rms(weights).reshape(form.view), at, -1).reshape(-1, axis.length)[:, : shown.length]
        for weights in (_dense(before, name, module), _values(module))
    )
    largest = np.sort(np.argsort(-(old**2).sum(1), kind="stable")[:LINES])
    lengths = [other.length for other in form.axes[:at] + form.axes[at + 1 :]]
    others = [short for short in AXES if short != AXES[at]]
    places = np.stack(np.unravel_index(largest, lengths), 1)
    titles = [
        f"{name}, " + " ".join(f"{n} {i}" for n, i, length in zip(others, place, lengths, strict=True) if length > 1)
        for place in places
    ]
    unit = f"weight along {AXES[at]}={axis} / rms of the layer"
    return pictures.polynomials(old[largest], new[largest], shown, path, LINES, titles, unit)


def _ranked(before: nn.Module, layers: Layers, path: Path) -> Path:
    name, (module, form) = next(iter(layers.items()))
    assert isinstance(form, RankedWeight)
    chosen = form.levels(*originals(module)).cpu().numpy().reshape(form.curves[0], -1)[0]
    old, new = (values.reshape(form.curves[0], -1)[0] for values in (_dense(before, name, module), _values(module)))
    table = np.full(1 << form.level_bits, np.nan)  # a level that no weight has is not drawn
    table[chosen] = new
    title = f"{name}, ranked={form.plan}" + (", first filter" if form.curves[0] > 1 else "")
    return pictures.levels(chosen, old, table, path, title, form.zero)


def _beginning(axis: Axis) -> Axis:
    """Return the axis of as many whole segments as can be drawn legibly, at least one."""
    segment = axis.segment or axis.length
    length = min(axis.length, max(1, LONGEST // segment) * segment)
    return Axis(length, segment, axis.degree, axis.nodes)


def _dense(before: nn.Module, name: str, module: nn.Module) -> np.ndarray:
    try:
        other = before.get_submodule(name)
    except AttributeError:
        raise ModelError(f"the dense network has no layer {name}; give the one that was approximated") from None
    weights = _values(other)
    if weights.shape != (shape := tuple(module.weight.shape)):  # type: ignore[arg-type]
        raise ModelError(f"layer {name} has a weight of shape {weights.shape} before and {shape} after")
    return weights


def _values(module: nn.Module) -> np.ndarray:
    weight = getattr(module, "weight", None)
    if weight is None:
        raise HornerError(f"{type(module).__name__} has no weight to draw")
    return weight.detach().double().cpu().numpy()


def _in_rms(weights: np.ndarray) -> np.ndarray:
    return weights / (float(np.sqrt((weights**2).mean())) or 1.0)
