"""A whole program on an array, layer after layer."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from horner.errors import ArchitectureError
from horner.hardware.architecture import Architecture
from horner.hardware.cost import LEVELS, LayerCost
from horner.hardware.occupation import Phase, occupation
from horner.hardware.row_stationary import merit, search
from horner.hardware.shape import ConvShape
from horner.hardware.workload import shapes
from horner.program.program import Program

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class Simulation:
    """What every convolution and fully connected layer costs on an array; pooling and sums of maps are left out.

    Parameters
    ----------
    batch
        Images of which the costs are.
    shapes
        What the array computes of each layer: the reuse that was chosen.
    """

    arch: Architecture
    batch: int
    layers: tuple[LayerCost, ...]
    shapes: tuple[ConvShape, ...]

    @property
    def cycles(self) -> int:
        """Cycles of all layers, one after the other."""
        return sum(layer.cycles.total for layer in self.layers)

    @property
    def milliseconds(self) -> float:
        """Time of all layers at the array's clock."""
        return self.cycles / self.arch.clock_mhz / 1e3

    @property
    def energy(self) -> dict[str, float]:
        """Energy of all layers by level, in multiply-accumulates."""
        parts = [layer.energy(self.arch) for layer in self.layers]
        return {level: sum(part[level] for part in parts) for level in ("mac", "add", *LEVELS)}

    @property
    def occupation(self) -> list[tuple[Phase, ...]]:
        """What the PEs do in each layer, and for how long."""
        return [occupation(shape, layer, self.batch) for shape, layer in zip(self.shapes, self.layers, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return every number as built-in types; bytes beside words of DRAM."""
        layers = []
        for layer in self.layers:
            numbers = asdict(layer)
            numbers["cycles"] |= {"binding": layer.cycles.binding, "total": layer.cycles.total}
            numbers["dram_bytes"] = layer.accesses.dram * self.arch.word_bytes
            numbers["dram_bytes_uncoded"] = layer.dram_uncoded * self.arch.word_bytes
            numbers["energy"] = layer.energy(self.arch)
            numbers["utilisation"] = layer.utilisation(self.arch)
            layers.append(numbers)
        totals = {
            "macs": sum(layer.macs for layer in self.layers),
            "additions": sum(layer.additions for layer in self.layers),
            "processing_cycles": sum(layer.cycles.processing for layer in self.layers),
            "cycles": self.cycles,
            "milliseconds": self.milliseconds,
            "accesses": {level: sum(getattr(layer.accesses, level) for layer in self.layers) for level in LEVELS},
            "dram_bytes": sum(layer["dram_bytes"] for layer in layers),
            "dram_bytes_uncoded": sum(layer["dram_bytes_uncoded"] for layer in layers),
            "energy": self.energy,
        }
        return {"batch": self.batch, "total": totals, "layers": layers}

    def table(self) -> Group:
        """Return a row per layer, and the totals."""
        from horner.hardware.simulation_table import render

        return render(self)


def simulate(program: Program, arch: Architecture, batch: int = 1, images: np.ndarray | None = None) -> Simulation:
    """Run a program on an array: every layer by the mapping of least energy times time.

    An array that reuses sums takes, for every layer, those axes of its plan along which that is least; one that does
    not multiplies by the expanded weights.

    Parameters
    ----------
    images
        To measure the zeros of the activations on, for run-length coding; without, nothing is zero.

    Raises
    ------
    ArchitectureError
        When the array cannot do a layer; the message names the field and its limit.

    Examples
    --------
    >>> from horner import load, zoo
    >>> from horner.hardware import architecture
    >>> lenet = load(zoo.find("zoo:lenet5"))
    >>> dense, reused = (simulate(lenet, architecture.load(name)) for name in ("eyeriss", "reuse"))
    >>> dense.cycles > 6 * reused.cycles
    True
    """
    return _run(shapes(program, images), arch, batch)


def compare(
    program: Program, arch: Architecture, batch: int = 1, images: np.ndarray | None = None
) -> tuple[Simulation, ...]:
    """Run a program on an array and on the same one with the other setting of `reuses`; Row Stationary comes first.

    What the other one cannot do is left out.

    Raises
    ------
    ArchitectureError
        When `arch` cannot do a layer.

    Examples
    --------
    >>> from horner import load, zoo
    >>> from horner.hardware import architecture
    >>> found = compare(load(zoo.find("zoo:lenet5")), architecture.load("reuse"))
    >>> [simulation.arch.reuses for simulation in found]
    [False, True]
    """
    ways = shapes(program, images)
    found = [_run(ways, arch, batch)]
    with contextlib.suppress(ArchitectureError):
        found.append(_run(ways, msgspec.structs.replace(arch, reuses=not arch.reuses), batch))
    return tuple(sorted(found, key=lambda simulation: simulation.arch.reuses))


def _run(layers: dict[str, list[ConvShape]], arch: Architecture, batch: int) -> Simulation:
    chosen = []
    for ways in layers.values():
        found = [(search(shape, arch, batch), shape) for shape in (ways if arch.reuses else ways[:1])]
        chosen.append(min(found, key=lambda way: merit(arch)(way[0])))
    return Simulation(arch, batch, tuple(cost for cost, _ in chosen), tuple(shape for _, shape in chosen))
