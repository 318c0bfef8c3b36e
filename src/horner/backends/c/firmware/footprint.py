"""Flash and RAM of a network on a chip, per layer and in all, read from its linked image."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table

from horner.backends.c.firmware.elf import read
from horner.backends.c.firmware.image import EMULATED, Firmware, build
from horner.backends.c.firmware.layers import Owners, owners_of_code, owners_of_data
from horner.backends.c.firmware.stack import StackBound, stack_bound
from horner.backends.c.targets import Target
from horner.program.program import Program


@dataclass(frozen=True)
class LayerFlash:
    """Bytes of flash that one layer (or what all of them share) takes."""

    name: str
    code: int
    constants: int


@dataclass(frozen=True)
class Footprint:
    """What a network needs of a chip, in bytes.

    Parameters
    ----------
    target, optimise
        The chip, and what the C is compiled with.
    layers
        The layers, the function that calls them, and what they share: helpers, and bytes for alignment.
    arena
        Static memory.
    stack
        The most that running it takes below the caller's own frame.
    input, output
        The caller's buffers, part of no sum.
    startup
        Flash of the minimal start-up and vector table, part of no sum: a firmware has its own.
    """

    target: str
    optimise: str
    layers: tuple[LayerFlash, ...]
    arena: int
    stack: StackBound
    input: int
    output: int
    startup: int

    @property
    def code(self) -> int:
        """Bytes of instructions."""
        return sum(layer.code for layer in self.layers)

    @property
    def constants(self) -> int:
        """Bytes of coefficients and tables."""
        return sum(layer.constants for layer in self.layers)

    @property
    def flash(self) -> int:
        """Code and constants."""
        return self.code + self.constants

    @property
    def ram(self) -> int:
        """Arena and stack."""
        return self.arena + self.stack.bytes

    def to_dict(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        sums = {name: getattr(self, name) for name in ("code", "constants", "flash", "ram")}
        return {**dataclasses.asdict(self), **sums}

    def table(self) -> Group:
        """Return flash by layer, and the totals."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("layer", no_wrap=True)
        for heading in ("code", "constants", "flash"):
            table.add_column(heading, justify="right", no_wrap=True)
        for layer in self.layers:
            table.add_row(layer.name, *_numbers(layer.code, layer.constants, layer.code + layer.constants))
        table.add_section()
        table.add_row("total", *_numbers(self.code, self.constants, self.flash), style="bold")
        lines = [
            f"RAM {self.ram:,} = arena {self.arena:,} + stack {self.stack.bytes:,} "
            f"(at most, by {' > '.join(self.stack.chain)}; interrupts not included)",
            f"the caller's own: input {self.input:,}, output {self.output:,}; "
            f"start-up and vector table of the image measured: {self.startup:,} of flash",
        ]
        return Group(f"Flash and RAM on {self.target} ({self.optimise}), in bytes", table, "\n".join(lines))


def footprint(firmware: Firmware) -> Footprint:
    """Return what a network needs of a chip, from its image.

    Raises
    ------
    CompileError
        When pyelftools is missing, or when the stack cannot be bounded.
    """
    name = firmware.source.name
    image = read(firmware.path, f"{name}.c")
    owners = Owners(name, firmware.program.names)
    code = owners_of_code(image, owners)
    constants = np.concatenate([owners_of_data(image, section, owners) for section in (".rodata", ".data")])
    rows = [*enumerate(owners.names), (-1, "shared")]
    entries = (f"{name}_init", f"{name}_run")
    element = 1 if firmware.program.integer else 4
    return Footprint(
        firmware.target.name,
        firmware.target.optimise,
        tuple(LayerFlash(row, int((code == i).sum()), int((constants == i).sum())) for i, row in rows),
        image.size(".data", ".bss"),
        max((stack_bound(image, entry) for entry in entries), key=lambda bound: bound.bytes),
        element * firmware.program.values[0].size,
        element * firmware.program.output.size,
        image.size(".vectors", ".startup"),
    )


def footprint_of(program: Program, target: Target, name: str = "network") -> Footprint | None:
    """Build a program's image for a target and return what it needs; None for what is no chip.

    Raises
    ------
    MissingToolError
        When a package of ``horner[mcu]`` is not installed.
    CompileError
        When the stack cannot be bounded.
    """
    return footprint(build(program, target, name)) if target.name in EMULATED else None


def _numbers(*numbers: int) -> list[str]:
    return [f"{number:,}" for number in numbers]
