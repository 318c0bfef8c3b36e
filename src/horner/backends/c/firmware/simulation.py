"""Images through a network's code on a target, compared with the reference, and what it cost."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table

from horner.backends import reference
from horner.backends.c.firmware.chip import Chip
from horner.backends.c.firmware.elf import read
from horner.backends.c.firmware.footprint import Footprint, footprint
from horner.backends.c.firmware.image import EMULATED, build
from horner.backends.c.firmware.layers import SHARED, Owners, owners_of_code
from horner.backends.c.firmware.machine import Machine
from horner.backends.c.firmware.native import Native
from horner.backends.c.firmware.wasm import WebAssembly, build_module
from horner.backends.c.source import generate
from horner.backends.c.targets import Target
from horner.backends.c.targets import target as find_target
from horner.errors import DataError, SimulationError
from horner.program.program import Program

FLOAT_TOLERANCE = 1e-4
"""By how much float outputs may differ, relative to the largest: their sums are formed in another order."""

Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Count:
    """Instructions over images."""

    name: str
    least: int
    median: float
    most: int


@dataclass(frozen=True)
class Simulation:
    """What running images on a target showed; every output agreed with the reference.

    Parameters
    ----------
    outputs
        ``(n, ...)`` as the reference returns them.
    layers, total
        Instructions per image, where the target lets them be counted.
    stack
        Bytes that were touched at most, where that can be seen.
    footprint
        What was known before running, for chips.
    """

    target: str
    outputs: np.ndarray
    layers: tuple[Count, ...]
    total: Count | None
    stack: int | None
    footprint: Footprint | None

    @property
    def exact(self) -> bool:
        """Whether outputs are the reference's bit for bit; those of floats agree to rounding."""
        return self.outputs.dtype.kind != "f"

    def to_dict(self) -> dict[str, Any]:
        """Return all but the outputs, for JSON."""
        return {
            "target": self.target,
            "images": len(self.outputs),
            "identical": self.exact,
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "instructions": dataclasses.asdict(self.total) if self.total else None,
            "stack": self.stack,
            "footprint": self.footprint.to_dict() if self.footprint else None,
        }

    def table(self) -> Group:
        """Return instructions by layer, and the stack found beside the stack known."""
        parts: list[Any] = []
        kind = "WebAssembly instructions" if self.target == "wasm32" else "Instructions"
        if self.total:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
            table.add_column("layer", no_wrap=True)
            for heading in ("least", "median", "most"):
                table.add_column(heading, justify="right", no_wrap=True)
            for layer in self.layers:
                table.add_row(*_row(layer))
            table.add_section()
            table.add_row(*_row(self.total), style="bold")
            parts += [
                f"{kind} per image on {self.target}",
                table,
                f"{kind}, not cycles: how long one takes is the chip's affair.\n",
            ]
        images = len(self.outputs)
        agrees = "is the reference's" if self.exact else "agrees with the reference to rounding"
        parts.append(f"{images:,} image{'s' * (images != 1)} on {self.target}: every output {agrees}.")
        if self.footprint:
            known = self.footprint
            parts.append(f"stack: {self.stack:,} bytes touched, {known.stack.bytes:,} known before running")
            parts.append(f"flash {known.flash:,} bytes, RAM {known.ram:,} bytes, compiled with {known.optimise}")
        elif self.stack is not None:
            parts.append(f"stack: {self.stack:,} bytes touched")
        return Group(*parts)


def simulate(
    program: Program,
    images: np.ndarray,
    target: str | Target,
    name: str = "network",
    report: Report = lambda done, total: None,
) -> Simulation:
    """Run images through a program's code on a target.

    Parameters
    ----------
    images
        As `Program.quantise` takes them.
    target
        A chip of `EMULATED`, ``wasm32``, or ``generic``: this machine.
    name
        The network's name in C.
    report
        Told after every image how many are done, and of how many.

    Raises
    ------
    SimulationError
        When an output is not the reference's, or when more stack is touched than was known before.
    CompileError
        When a compiler, an emulator or an engine is missing.
    """
    inputs = program.quantise(images)
    if not len(inputs):
        raise DataError("no images to simulate")
    chip = find_target(target) if isinstance(target, str) else target
    machine, known = _start(program, chip, name)
    wanted = reference.run(program, inputs).reshape(len(inputs), *program.output.shape)
    outputs, counts, stack = [], [], []
    for number, (image, expected) in enumerate(zip(inputs, wanted, strict=True)):
        found = np.frombuffer(machine.run(image.tobytes(), expected.nbytes), expected.dtype).reshape(expected.shape)
        if not _same(found, expected):
            raise SimulationError(
                f"image {number} of {len(inputs)}: {chip.name} computes {_short(found)}, "
                f"the reference {_short(expected)}; please report this"
            )
        outputs.append(found)
        counts.append(machine.counts())
        stack.append(machine.stack)
        report(number + 1, len(inputs))
    deepest = None if None in stack else max(s for s in stack if s is not None)
    if known and deepest is not None and deepest > known.stack.bytes:
        raise SimulationError(
            f"{deepest} bytes of stack touched, more than the bound {known.stack.bytes}; please report this"
        )
    rows = (*Owners(name, program.names).names, "shared") if known else ()
    layers = tuple(_count(row, [c[i if i < len(rows) - 1 else SHARED] for c in counts]) for i, row in enumerate(rows))
    total = _count("total", [c.total() for c in counts]) if any(counts) else None
    return Simulation(chip.name, np.stack(outputs), tuple(c for c in layers if c.most), total, deepest, known)


def _start(program: Program, chip: Target, name: str) -> tuple[Machine, Footprint | None]:
    if chip.name in EMULATED:
        firmware = build(program, chip, name)
        image = read(firmware.path, f"{name}.c")
        return Chip(image, chip.name, owners_of_code(image, Owners(name, program.names))), footprint(firmware)
    source = generate(program, name, chip.name)
    if chip.name == "wasm32":
        return WebAssembly(build_module(program, source, chip), name), None
    return Native(source), None


def _same(found: np.ndarray, expected: np.ndarray) -> bool:
    if expected.dtype.kind == "f":
        return bool(np.abs(found - expected).max() <= FLOAT_TOLERANCE * max(1.0, float(np.abs(expected).max())))
    return np.array_equal(found, expected)


def _short(output: np.ndarray) -> str:
    values = [f"{value:g}" for value in output.ravel()[:10]]
    return f"[{', '.join(values)}{', ...' if output.size > 10 else ''}]"


def _count(name: str, values: Sequence[int]) -> Count:
    return Count(name, min(values), statistics.median(values), max(values))


def _row(count: Count) -> list[str]:
    return [count.name, f"{count.least:,}", f"{count.median:,.0f}", f"{count.most:,}"]
