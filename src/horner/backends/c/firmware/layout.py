"""Generated C in the folders that a build system expects: plain files, a CMake project, an Arduino library."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from horner import __version__
from horner._files import write_atomic
from horner.backends.c.firmware.image import templates
from horner.backends.c.source import generate, write
from horner.program.program import Program

Layout = Literal["files", "cmake", "arduino"]


def write_layout(
    program: Program,
    directory: str | os.PathLike[str],
    name: str = "network",
    target: str = "generic",
    layout: Layout = "files",
) -> list[Path]:
    """Write a network's C and what a build system needs beside it; return the paths.

    Parameters
    ----------
    layout
        `files`: ``NAME.c``, ``NAME.h``, ``example.c``. `cmake`: the same, and a ``CMakeLists.txt`` that makes them
        a library. `arduino`: a library with an example sketch that reads images from the serial port.

    Raises
    ------
    ProgramError
        When `name` cannot name a network in C.
    FileError
        When a file cannot be written.
    """
    folder = Path(directory)
    about = {"name": name, "T": "int8_t" if program.integer else "float", "version": __version__}

    def fill(files: dict[str, str]) -> list[Path]:
        texts = {file: templates().get_template(template).render(about) for file, template in files.items()}
        return [write_atomic(folder / file, text) for file, text in texts.items()]

    if layout == "arduino":
        source = generate(program, name, target)
        sources = {f"src/{name}.c": source.source, f"src/{name}.h": source.header}
        written = [write_atomic(folder / file, text) for file, text in sources.items()]
        sketch = {
            "library.properties": "library.properties.jinja",
            "examples/Classify/Classify.ino": "Classify.ino.jinja",
        }
        return [*written, *fill(sketch)]
    written = write(program, folder, name, target)
    return [*written, *fill({"CMakeLists.txt": "CMakeLists.txt.jinja"})] if layout == "cmake" else written
