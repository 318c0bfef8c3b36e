"""A network, a minimal start-up and a linker script, built into an image for one target."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import jinja2

from horner._templates import environment
from horner.backends.c.compiler import ZIG, built
from horner.backends.c.firmware.extras import expect_zig
from horner.backends.c.source import CSource, generate
from horner.backends.c.targets import Target
from horner.backends.c.targets import target as find_target
from horner.errors import CompileError
from horner.program.program import Program

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-ffunction-sections", "-fdata-sections")
"""What a network is compiled with for every chip, beside its target's own flags."""

DEBUG = ("-g", "-gdwarf-4", "-fomit-frame-pointer", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables")
"""What sizes and counts are read from; none of it is flashed."""

LINK = ("-Wl,--gc-sections", "-Wl,-e,firmware_start")

EMULATED = ("cortex-m0plus", "cortex-m4", "cortex-m33", "rv32imc")
"""Targets that images are built for."""


@dataclass(frozen=True)
class Firmware:
    """An image, and what it was built from.

    Parameters
    ----------
    program
        The network.
    source
        Its C.
    target
        The chip.
    path
        The ELF file, with symbols and debugging information.
    """

    program: Program
    source: CSource
    target: Target
    path: Path


def build(
    program: Program, target: str | Target, name: str = "network", cache: str | os.PathLike[str] | None = None
) -> Firmware:
    """Build a program's image for a chip; a second time finds the first one's.

    Parameters
    ----------
    target
        One of `EMULATED`.
    name
        The network's name in C.
    cache
        The folder for images; by default under HORNER_CACHE or the user's cache.

    Raises
    ------
    MissingToolError
        When zig is not installed.
    CompileError
        When the target is no chip, or when zig refuses the code.
    """
    chip = find_target(target) if isinstance(target, str) else target
    return link(program, generate(program, name, chip.name), chip, cache)


def link(program: Program, source: CSource, chip: Target, cache: str | os.PathLike[str] | None = None) -> Firmware:
    """Build the image of C that is there already.

    Raises
    ------
    CompileError
        As `build`.
    """
    if chip.name not in EMULATED:
        raise CompileError(f"no images are built for {chip.name}; choose from {', '.join(EMULATED)}")
    expect_zig(f"an image for {chip.name}")
    flags = (*chip.flags, chip.optimise, *FLAGS, *DEBUG, *LINK)
    return Firmware(
        program, source, chip, built(sources(program, source), ".elf", flags=flags, compiler=ZIG, cache=cache)
    )


def sources(program: Program, source: CSource) -> dict[str, str]:
    """Return names and texts of all that an image is built from."""
    start = (
        templates()
        .get_template("start.c.jinja")
        .render(
            name=source.name,
            T="int8_t" if program.integer else "float",
        )
    )
    script = templates().get_template("link.ld").render()
    return {
        f"{source.name}.c": source.source,
        f"{source.name}.h": source.header,
        "start.c": start,
        "link.ld": script,
    }


@functools.cache
def templates() -> jinja2.Environment:
    """Return the environment of this package's templates."""
    return environment(Path(__file__).parent / "templates")
