"""Pictures of what a program costs on arrays of processing elements: energy, rooflines, occupation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from horner.hardware.architecture import Architecture
from horner.hardware.cost import LayerCost
from horner.hardware.simulation import Simulation
from horner.report import labels
from horner.report.pictures import AFTER, BEFORE, KINDS, encoded, new_figure, save, styled

LEVELS = {
    "mac": ("multiply-accumulates", KINDS[0]),
    "add": ("additions outside PEs", KINDS[7]),
    "register_file": ("registers", KINDS[2]),
    "inter_pe": ("between PEs", KINDS[3]),
    "buffer": ("buffer", KINDS[4]),
    "dram": ("DRAM", KINDS[5]),
}
"""What energy is spent on, in the order of `LayerCost.energy`: its name and colour."""

WAITS = {"fill": ("the first pass", KINDS[6]), "buffer": LEVELS["buffer"], "dram": LEVELS["dram"]}
"""What all PEs of an array wait for."""

MARKERS = {"processing": ("PEs", "o"), "buffer": ("the buffer", "s"), "dram": ("DRAM", "^")}
"""What a layer's time is bound by."""

WIDTH = 7.6  # inches
ROWS = 26  # of a key
TOGETHER = 3  # points of type between dots that count as one
Simulations = Sequence[Simulation]


@styled
def energy(simulations: Simulations, path: str | os.PathLike[str]) -> Path:
    """Draw the energy of every layer by level, arrays one above the other.

    Parameters
    ----------
    simulations
        The same program on one array or on two.
    path
        Ends in .png, .svg or .pdf.
    """
    return save(_energy(simulations), path)


@styled
def roofline(simulations: Simulations, path: str | os.PathLike[str]) -> Path:
    """Draw what every layer does a cycle over what it does with a byte of DRAM, below what the array can do.

    Bytes are those that move: run-length coded where that is shorter. Roofs are those of the first array.
    """
    return save(_roofline(simulations), path)


@styled
def occupation(simulations: Simulations, path: str | os.PathLike[str]) -> Path:
    """Draw how many PEs are at work, layer after layer, and what they wait for; see `horner.hardware.occupation`."""
    return save(_occupation(simulations), path)


@styled
def as_svg(simulations: Simulations) -> dict[str, str]:
    """Return the three pictures as SVG, by name: energy, roofline, occupation."""
    drawn = {"energy": _energy, "roofline": _roofline, "occupation": _occupation}
    return {name: encoded(draw(simulations), "svg").decode() for name, draw in drawn.items()}


def name(arch: Architecture) -> str:
    """Return what an array is called beside the other one."""
    return "with reuse" if arch.reuses else "Row Stationary"


def energies(simulation: Simulation) -> np.ndarray:
    """Return energy ``(layers, LEVELS)``, in multiply-accumulates."""
    return np.array([[layer.energy(simulation.arch)[level] for level in LEVELS] for layer in simulation.layers])


def intensities(simulation: Simulation) -> np.ndarray:
    """Return ``(layers, 2)``: multiply-accumulates a byte of DRAM, and a cycle."""
    arch = simulation.arch
    return np.array(
        [
            (layer.macs / (layer.accesses.dram * arch.word_bytes), layer.macs / layer.cycles.total)
            for layer in simulation.layers
        ]
    )


def roof(arch: Architecture, intensity: np.ndarray) -> np.ndarray:
    """Return the multiply-accumulates a cycle that PEs and DRAM allow at so many a byte of DRAM."""
    return np.minimum(arch.pes, intensity * arch.bandwidth.dram * arch.word_bytes)


def short(number: float) -> str:
    """Write a number in three digits.

    >>> short(16955864), short(1049.6), short(88.0), short(0)
    ('17.0 M', '1.05 k', '88', '0')
    """
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= 0.9995 * factor:
            value = number / factor
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{unit}"
    return f"{number:.3g}"


def _colour(arch: Architecture) -> str:
    return AFTER if arch.reuses else BEFORE


def _ink(arch: Architecture) -> str:
    return AFTER if arch.reuses else KINDS[0]


def _plain(layer: LayerCost) -> str:
    return layer.name.replace("$", r"\$")  # no formulas


def _energy(simulations: Simulations) -> Any:
    from matplotlib.ticker import EngFormatter

    layers, count = simulations[0].layers, len(simulations)
    height = 0.8 / count
    figure = new_figure(WIDTH, (0.17 * count + 0.07) * len(layers) + 1.1)
    place = figure.subplots()
    for at, simulation in enumerate(simulations):
        middles = np.arange(len(layers)) + (at - (count - 1) / 2) * height
        parts = energies(simulation)
        left = np.zeros(len(layers))
        for part, (title, colour) in zip(parts.T, LEVELS.values(), strict=True):
            place.barh(middles, part, 0.9 * height, left, color=colour, label=None if at else title)
            left += part
        for middle, total in zip(middles, left, strict=True):
            text = f" {short(total)}, {name(simulation.arch)}"
            place.text(total, middle, text, va="center", fontsize=7, color=_ink(simulation.arch))
    place.set_yticks(range(len(layers)), [_plain(layer) for layer in layers])
    place.set_ylim(len(layers) - 0.4, -0.6)
    place.set_xlim(0, 1.3 * max(energies(s).sum(1).max() for s in simulations) or 1)
    place.xaxis.set_major_formatter(EngFormatter())
    totals = ", ".join(f"{short(energies(s).sum())} {name(s.arch)}" for s in simulations)
    place.set_xlabel(f"energy in multiply-accumulates; all layers: {totals}")
    place.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper")
    return figure


def _roofline(simulations: Simulations) -> Any:
    from matplotlib.lines import Line2D

    arch, layers = simulations[0].arch, simulations[0].layers
    figure = new_figure(WIDTH, 4.4)
    place = figure.subplots()
    places = [intensities(simulation) for simulation in simulations]
    ridge = arch.pes / (arch.bandwidth.dram * arch.word_bytes)
    every = np.concatenate(places)
    low, high = min(every[:, 0].min(), ridge) / 1.6, max(every[:, 0].max(), ridge) * 4
    edges = np.array([low, ridge, high])
    place.plot(edges, roof(arch, edges), color="black", linewidth=0.9)
    place.set(xscale="log", yscale="log", xlim=(low, high))
    place.set_ylim(min(every[:, 1].min(), float(roof(arch, edges)[0])) / 1.6, arch.pes * 1.8)
    for simulation, points, size in zip(simulations, places, (6.0, 3.5), strict=False):  # both are seen where they meet
        for layer, point in zip(simulation.layers, points, strict=True):
            place.plot(*point, MARKERS[layer.cycles.binding][1], color=_colour(simulation.arch), markersize=size)
    place.set_xlabel("multiply-accumulates a byte of DRAM, run-length coded where that is shorter")
    place.set_ylabel("multiply-accumulates a cycle")
    handles = [Line2D([], [], marker="o", ls="", color=_colour(s.arch), label=name(s.arch)) for s in simulations]
    bound = {layer.cycles.binding for simulation in simulations for layer in simulation.layers}
    for binding, (title, marker) in MARKERS.items():
        if binding in bound:
            handles.append(Line2D([], [], marker=marker, ls="", mfc="none", color="black", label=f"waits for {title}"))
    handles += [Line2D([], [], ls="", label=f"{number}  {_plain(layer)}") for number, layer in enumerate(layers, 1)]
    columns = -(-len(handles) // ROWS)
    figure.legend(handles=handles, loc="outside right upper", ncols=columns, handletextpad=0.2, labelspacing=0.25)
    figure.draw_without_rendering()  # lays out, so that places are known
    line = np.stack([edges, roof(arch, edges)], 1)
    _number(place, simulations, line, _name_roofs(place, arch, line))
    return figure


def _name_roofs(place: Any, arch: Architecture, line: np.ndarray) -> list[labels.Box]:
    """Name both parts of a roof; return boxes, in points, that the names fill."""
    corners = _in_points(place, line)
    names = f"DRAM: {arch.bandwidth.dram * arch.word_bytes:g} bytes a cycle", f"PEs: {arch.pes} a cycle"
    boxes = []
    for text, start, stop in zip(names, corners, corners[1:], strict=False):
        along = (stop - start) / np.hypot(*(stop - start))
        middle = (start + stop) / 2 + 4 * np.array([-along[1], along[0]])
        angle = np.degrees(np.arctan2(along[1], along[0]))
        place.text(
            *_in_data(place, middle),
            text,
            rotation=angle,
            rotation_mode="anchor",
            ha="center",
            fontsize=7,
            in_layout=False,
        )
        filled = middle + np.linspace(-0.5, 0.5, len(text))[:, None] * (4.0 * len(text)) * along
        boxes += [(x - 5, y - 5, x + 5, y + 9) for x, y in filled]
    return boxes


def _number(place: Any, simulations: Simulations, roofs: np.ndarray, taken: list[labels.Box]) -> None:
    """Write the numbers of the layers at their points, those of points which coincide together."""
    found: list[tuple[np.ndarray, list[int], str]] = []
    for simulation in simulations:
        groups: list[tuple[np.ndarray, list[int], str]] = []
        for number, point in enumerate(_in_points(place, intensities(simulation)), 1):
            near = [group for group in groups if np.abs(group[0] - point).max() < TOGETHER]
            if near:
                near[0][1].append(number)
            else:
                groups.append((point, [number], _ink(simulation.arch)))
        same = [{str(other[1]) for other in found if np.abs(other[0] - group[0]).max() < TOGETHER} for group in groups]
        found += [group for group, others in zip(groups, same, strict=True) if str(group[1]) not in others]
    points = np.array([point for point, _, _ in found])
    texts = [labels.ranges(numbers) for _, numbers, _ in found]
    sizes = np.array([(3.9 * len(text) + 1, 7.0) for text in texts])
    taken = taken + [(x - 3, y - 3, x + 3, y + 3) for x, y in points]
    (left, bottom), (right, top) = place.get_window_extent().get_points() * 72 / place.figure.dpi
    middles = labels.around(points, sizes, (left, bottom, right, top), taken, [_in_points(place, roofs)])
    for text, point, middle, (_, _, colour) in zip(texts, points, middles, found, strict=True):
        place.annotate(
            text,
            _in_data(place, point),
            tuple(middle - point),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=6.5,
            color=colour,
            in_layout=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2, "color": colour},
        )


def _in_points(place: Any, data: np.ndarray) -> np.ndarray:
    return place.transData.transform(data) * 72 / place.figure.dpi


def _in_data(place: Any, points: np.ndarray) -> np.ndarray:
    return place.transData.inverted().transform(points * place.figure.dpi / 72)


def _occupation(simulations: Simulations) -> Any:
    from matplotlib.patches import Patch

    figure = new_figure(WIDTH, 2.6 * len(simulations))
    for place, simulation in zip(figure.subplots(len(simulations), squeeze=False)[:, 0], simulations, strict=True):
        _timeline(place, simulation)
    handles = [Patch(color=_colour(s.arch), label=f"multiply, {name(s.arch)}") for s in simulations]
    handles.append(Patch(color="black", alpha=0.3, linewidth=0, label="add partial sums up"))
    handles += [
        Patch(color=colour, alpha=0.3, linewidth=0, label=f"wait for {title}") for title, colour in WAITS.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _timeline(place: Any, simulation: Simulation) -> None:
    from matplotlib.ticker import StrMethodFormatter

    arch, phases = simulation.arch, [phase for layer in simulation.occupation for phase in layer]
    edges = np.concatenate([[0], np.cumsum([phase.cycles for phase in phases])])
    drawn = {"multiply": (_colour(arch), 1.0), "add": (_colour(arch), 0.45)}
    drawn |= {doing: (colour, 0.3) for doing, (_, colour) in WAITS.items()}
    for doing, (colour, alpha) in drawn.items():
        heights = [(phase.pes or arch.pes) if phase.doing == doing else np.nan for phase in phases]
        place.stairs(heights, edges, fill=True, color=colour, alpha=alpha, linewidth=0)
    place.set(xlim=(0, edges[-1]), ylim=(0, arch.pes), ylabel=f"PEs at work, of {arch.pes}")
    place.set_xlabel(f"cycles, {name(arch)}: {simulation.cycles:,} in all, {simulation.milliseconds:.3g} ms")
    place.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ends = np.cumsum([layer.cycles.total for layer in simulation.layers])
    for end in ends[:-1]:
        place.axvline(end, color="black", linewidth=0.4)
    _name_above(place, simulation.layers, ends)


def _name_above(place: Any, layers: Sequence[LayerCost], ends: np.ndarray) -> None:
    middles = ends - np.array([layer.cycles.total for layer in layers]) / 2
    gap = 0.15 / (WIDTH - 1) * ends[-1]  # of lines of text
    for layer, middle, at in zip(layers, middles, labels.apart(middles, gap, gap / 2, ends[-1] - gap / 2), strict=True):
        place.annotate(
            _plain(layer),
            (middle, 1),
            (at, 1.07),
            xycoords=("data", "axes fraction"),
            textcoords=("data", "axes fraction"),
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=7,
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "shrinkA": 0, "shrinkB": 0, "relpos": (0.5, 0)},
        )
