"""An accelerator and its baseline run on images: outputs compared with the reference, cycles with the model's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from horner.backends.reference import run
from horner.backends.rtl.design import Design, baseline, design
from horner.backends.rtl.export import REUSE, ROW_STATIONARY
from horner.backends.rtl.simulation import Simulation
from horner.errors import SimulationError
from horner.program.program import Program

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Timed:
    """An array that has computed images.

    Parameters
    ----------
    layers
        Mean cycles of an image, layer by layer, from its start to its last result.
    cycles
        Mean cycles of an image, from reset to the last logit: pixels of one come while another is computed.
    """

    design: Design
    layers: tuple[float, ...]
    cycles: float


@dataclass(frozen=True)
class Comparison:
    """Both arrays, bit-exact on every image.

    Parameters
    ----------
    outputs
        int8 logits, of the shape that `horner.backends.reference.run` gives.
    """

    outputs: np.ndarray
    arrays: dict[str, Timed]

    def to_dict(self) -> dict[str, Any]:
        """Return every number as built-in types."""
        return {
            "images": len(self.outputs),
            "arrays": {
                name: {
                    "rows": timed.design.rows,
                    "columns": timed.design.columns,
                    "cycles": timed.cycles,
                    "model": timed.design.cycles,
                    "layers": {
                        step.name: {"cycles": takes, "model": model}
                        for step, takes, model in zip(
                            timed.design.steps, timed.layers, timed.design.layer_cycles, strict=True
                        )
                    },
                }
                for name, timed in self.arrays.items()
            },
        }

    def table(self) -> Table:
        """Return a row per layer: cycles of an image, simulated, and how far the model is from them."""
        from rich import box
        from rich.table import Table

        title = f"Cycles of an image, mean of {len(self.outputs):,}, every output the reference's"
        table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_footer=True)
        table.add_column("layer", "all layers")
        for name, timed in self.arrays.items():
            every = sum(timed.layers)
            heading = f"{name} {timed.design.rows}x{timed.design.columns}"
            table.add_column(heading, f"{every:,.0f}", justify="right")
            table.add_column("model", f"{timed.design.cycles:,}", justify="right")
            table.add_column("off by", _off(timed.design.cycles, every), justify="right")
        for number, step in enumerate(next(iter(self.arrays.values())).design.steps):
            cells = [step.name]
            for timed in self.arrays.values():
                takes, model = timed.layers[number], timed.design.layer_cycles[number]
                cells += [f"{takes:,.0f}", f"{model:,}", _off(model, takes)]
            table.add_row(*cells)
        return table


def compare(
    program: Program,
    rows: int,
    columns: int,
    images: np.ndarray,
    report: Callable[[str], None] = lambda done: None,
) -> Comparison:
    """Run images through an array of ``rows x columns`` PEs that reuses sums, and a Row Stationary array as fast.

    Parameters
    ----------
    images
        As `Program.quantise` takes them.
    report
        Called with what is about to be done.

    Raises
    ------
    ArchitectureError
        For layers that the array cannot do, and arrays too small for a kernel.
    SimulationError
        When an output is not the reference's.
    MissingToolError
        When Amaranth, Yosys or a compiler is not installed.

    Examples
    --------
    >>> from horner import load, zoo
    >>> from horner.backends.rtl.comparison import compare
    >>> lenet = load(zoo.find("zoo:lenet5"))
    >>> compare(lenet, 3, 3, images).arrays["reuse"].cycles  # doctest: +SKIP
    """
    reuses = design(program, rows, columns)
    wanted = run(program, images)
    arrays = {}
    for name, made in {REUSE: reuses, ROW_STATIONARY: baseline(program, reuses)}.items():
        report(f"{name}: {made.rows}x{made.columns} PEs, compiling")
        simulation = Simulation(made)
        report(f"{name}: {len(images):,} images")
        found = simulation.run(images)
        wrong = np.flatnonzero((found.outputs != wanted).reshape(len(wanted), -1).any(1))
        if len(wrong):
            raise SimulationError(
                f"{name}: the outputs of image {wrong[0]} are not the reference's; please report this"
            )
        arrays[name] = Timed(made, tuple(cycles / len(images) for cycles in found.layers), found.cycles / len(images))
    return Comparison(wanted, arrays)


def _off(model: float, takes: float) -> str:
    return f"{100 * (model / takes - 1):+.1f} %"
