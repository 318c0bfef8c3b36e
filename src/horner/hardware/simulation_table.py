"""A simulated array for the terminal: what binds each layer, what it moves, and the totals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table

from horner.hardware.cost import LEVELS

if TYPE_CHECKING:
    from horner.hardware.simulation import Simulation


def render(simulation: Simulation) -> Group:
    """Return a row per layer for time and one for what is moved, and the totals in words."""
    return Group(_times(simulation), _moves(simulation), _caption(simulation))


def _times(simulation: Simulation) -> Table:
    arch = simulation.arch
    table = _table(f"Cycles on {arch.rows}x{arch.columns} PEs")
    for heading in ("layer", "mapping"):
        table.add_column(heading, no_wrap=heading == "layer", overflow="fold")
    for heading in ("PEs", "MAC", "processing", "in all", "utilised"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("waits for", no_wrap=True)
    for layer in simulation.layers:
        table.add_row(
            layer.name,
            " ".join(f"{letter}{size}" for letter, size in layer.mapping.items()),
            f"{layer.active}",
            f"{layer.macs:,}",
            f"{layer.cycles.processing:,}",
            f"{layer.cycles.total:,}",
            f"{100 * layer.utilisation(arch):.0f} %",
            "PEs" if layer.cycles.binding == "processing" else layer.cycles.binding,
        )
    return table


def _moves(simulation: Simulation) -> Table:
    table = _table("Words moved, and energy in multiply-accumulates")
    table.add_column("layer", no_wrap=True)
    for heading in ("additions", "registers", "between PEs", "buffer", "DRAM", "energy"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in simulation.layers:
        energy = sum(layer.energy(simulation.arch).values())
        words = (getattr(layer.accesses, level) for level in LEVELS)
        table.add_row(layer.name, f"{layer.additions:,}", *(f"{round(n):,}" for n in words), f"{round(energy):,}")
    return table


def _caption(simulation: Simulation) -> str:
    total, batch = simulation.to_dict()["total"], simulation.batch
    energy = total["energy"]
    every = sum(energy.values())
    parts = ", ".join(f"{name.replace('_', ' ')} {100 * part / every:.0f} %" for name, part in energy.items())
    return "\n".join(
        (
            f"{batch} image{'s' * (batch > 1)}: {total['cycles']:,} cycles, {total['milliseconds']:.3f} ms at "
            f"{simulation.arch.clock_mhz:g} MHz; {total['macs']:,} MAC, {total['additions']:,} additions outside PEs",
            f"DRAM {total['dram_bytes']:,.0f} bytes, {total['dram_bytes_uncoded']:,.0f} without run-length coding",
            f"energy {every:,.0f} multiply-accumulates: {parts}",
        )
    )


def _table(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
