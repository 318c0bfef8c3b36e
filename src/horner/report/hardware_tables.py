"""What a program costs on arrays, as tables of text: totals, layers side by side, every layer on every array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from horner.hardware.cost import LEVELS
from horner.hardware.shape import ConvShape
from horner.hardware.simulation import Simulation
from horner.report.hardware import LEVELS as TITLES
from horner.report.hardware import MARKERS, Simulations, name

NONE = "-"
WORDS = tuple(f"words, {TITLES[level][0]}" for level in LEVELS)


@dataclass(frozen=True)
class Table:
    """Headings, and rows of text, the first of which names its row."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]


def totals(simulations: Simulations) -> Table:
    """Return all layers together on every array, and the ratio of two."""
    rows: dict[str, list[float]] = {}
    for simulation in simulations:
        total = simulation.to_dict()["total"]
        numbers = {
            "cycles": total["cycles"],
            "cycles of processing": total["processing_cycles"],
            "milliseconds": total["milliseconds"],
            "multiply-accumulates": total["macs"],
            "additions outside PEs": total["additions"],
            **dict(zip(WORDS, total["accesses"].values(), strict=True)),
            "DRAM bytes": total["dram_bytes"],
            "DRAM bytes, not run-length coded": total["dram_bytes_uncoded"],
            "energy": sum(total["energy"].values()),
            **{f"energy, {title}": total["energy"][level] for level, (title, _) in TITLES.items()},
        }
        for what, number in numbers.items():
            rows.setdefault(what, []).append(number)
    return Table(
        "Totals",
        ("all layers", *_names(simulations)),
        [(what, *_text(values, 3 if what == "milliseconds" else 0), *_ratio(values)) for what, values in rows.items()],
    )


def side_by_side(simulations: Simulations) -> Table:
    """Return every layer's cycles, DRAM bytes and energy on every array, and their ratios."""
    rows = []
    for layers in zip(*(simulation.to_dict()["layers"] for simulation in simulations), strict=True):
        cells: list[str] = []
        for values in (
            [layer["cycles"]["total"] for layer in layers],
            [layer["dram_bytes"] for layer in layers],
            [sum(layer["energy"].values()) for layer in layers],
        ):
            cells += [*_text(values), *_ratio(values)]
        rows.append((layers[0]["name"], *cells))
    headings = (f"{what}, {each}" for what in ("cycles", "DRAM bytes", "energy") for each in _names(simulations))
    return Table("Layers side by side", ("layer", *headings), rows)


def times(simulation: Simulation) -> Table:
    """Return how every layer is cut, how long it takes, and what it waits for."""
    rows = []
    for number, (layer, shape) in enumerate(zip(simulation.layers, simulation.shapes, strict=True), 1):
        cycles, mapping = layer.cycles, " ".join(f"{letter}{size}" for letter, size in layer.mapping.items())
        rows.append(
            (
                f"{number} {layer.name}",
                mapping,
                _multiplied(shape),
                *_text([layer.active, layer.macs, cycles.processing, cycles.total]),
                f"{100 * layer.utilisation(simulation.arch):.1f} %",
                MARKERS[cycles.binding][0],
            )
        )
    total = simulation.to_dict()["total"]
    utilised = 100 * total["macs"] / (total["cycles"] * simulation.arch.pes)
    sums = _text([total["macs"], total["processing_cycles"], total["cycles"]])
    rows.append(("all", "", "", "", *sums, f"{utilised:.1f} %", ""))
    headings = ("layer", "mapping", "multiplied", "PEs", "MAC", "processing", "cycles in all", "utilised", "waits for")
    return Table(f"Cycles, {name(simulation.arch)}", headings, rows)


def moves(simulation: Simulation) -> Table:
    """Return what every layer adds outside PEs and moves, and its energy."""
    found = simulation.to_dict()
    rows = []
    for number, layer in enumerate([*found["layers"], found["total"]], 1):
        numbers = [layer["additions"], *layer["accesses"].values(), layer["dram_bytes"], layer["dram_bytes_uncoded"]]
        title = f"{number} {layer['name']}" if "name" in layer else "all"
        rows.append((title, *_text([*numbers, sum(layer["energy"].values())])))
    headings = ("layer", "additions outside PEs", *WORDS, "DRAM bytes", "DRAM bytes, not coded", "energy")
    return Table(f"Words moved and energy, {name(simulation.arch)}", headings, rows)


def _names(simulations: Simulations) -> tuple[str, ...]:
    names = tuple(name(simulation.arch) for simulation in simulations)
    return names if len(names) == 1 else (*names, "ratio")


def _text(values: Sequence[float], digits: int = 0) -> list[str]:
    return [f"{value:,.{digits}f}" for value in values]


def _ratio(values: Sequence[float]) -> list[str]:
    """Return the first of two values over the second, and nothing for one value."""
    if len(values) == 1:
        return []
    return [f"{values[0] / values[1]:,.2f}" if values[0] and values[1] else NONE]


def _multiplied(shape: ConvShape) -> str:
    core = shape.core
    text = "x".join(map(str, (core.filters, core.channels, *core.kernel)))
    if shape.reuse is None:
        return text
    return f"{text} of {'x'.join(map(str, (shape.filters, shape.channels // shape.groups, *shape.kernel)))}"
