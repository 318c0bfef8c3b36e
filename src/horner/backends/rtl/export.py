"""An accelerator as files: Verilog of both arrays, a testbench and memory images of each, and what they are for."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from horner import __version__
from horner._files import expect_writable, write_atomic
from horner._templates import environment
from horner.backends.rtl.design import Design, baseline, design
from horner.backends.rtl.yosys import verilog
from horner.program.program import Program
from horner.program.schedule import AXES

MANIFEST = "arrays.json"
"""What `horner.backends.rtl.synthesis` reads of a folder."""

REUSE, ROW_STATIONARY = "reuse", "row_stationary"
"""Names of the arrays, their modules and files."""

IMAGES = 10
HELD = 30
"""Of 100 cycles, those in which a testbench offers no pixel, and takes no logit."""


def write(
    program: Program,
    directory: str | os.PathLike[str],
    rows: int,
    columns: int,
    images: np.ndarray | None = None,
    source: str = "a program",
) -> list[Path]:
    """Write an array of ``rows x columns`` PEs that reuses sums, and a Row Stationary array as fast; return the paths.

    Of each: ``NAME.v``, ``NAME_testbench.v``, and its memory images ``NAME.pixels.hex`` and ``NAME.logits.hex``. Beside
    them a README with a resource estimate, and the same numbers in ``arrays.json``.

    Parameters
    ----------
    images
        That the testbenches send, as `Program.quantise` takes them; by default ten of random pixels.
    source
        Where the program is from, for the README.

    Raises
    ------
    ArchitectureError
        For layers that the array cannot do, and arrays too small for a kernel.
    MissingToolError
        When Amaranth or Yosys is not installed.
    FileError
        When a file cannot be written.

    Examples
    --------
    >>> from horner import load, zoo
    >>> from horner.backends.rtl.export import write
    >>> lenet = load(zoo.find("zoo:lenet5"))
    >>> [path.name for path in write(lenet, "rtl", rows=3, columns=3)][0]  # doctest: +SKIP
    'reuse.v'
    """
    folder = Path(directory)
    reuses = design(program, rows, columns)
    arrays = {REUSE: reuses, ROW_STATIONARY: baseline(program, reuses)}
    if images is None:
        shape = (IMAGES, *program.input.shape)
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    expect_writable(folder / MANIFEST)
    files: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="horner-rtl-") as scratch:
        for name, array in arrays.items():
            files[f"{name}.v"] = verilog(array, name, Path(scratch))
            files[f"{name}_testbench.v"] = _testbench(name, array, len(images))
            files[f"{name}.pixels.hex"] = _image(array.sent(images))
            files[f"{name}.logits.hex"] = _image(array.expected(images))
    about = {name: _about(array) for name, array in arrays.items()}
    files[MANIFEST] = json.dumps({"source": source, "version": __version__, "arrays": about}, indent=1) + "\n"
    files["README.md"] = _render("README.md.jinja", arrays=about, source=source, images=len(images), held=HELD)
    return [write_atomic(folder / file, text) for file, text in files.items()]


def _about(array: Design) -> dict[str, Any]:
    """Return the resource estimate."""
    return {
        "rows": array.rows,
        "columns": array.columns,
        "turned": array.turned,
        "wide": array.wide,
        "cycles": array.cycles,
        "multipliers": array.multipliers,
        "adders": array.adders,
        "bits": array.widths,
        "memories": {name: {"words": words, "bits": bits} for name, (words, bits) in array.memories.items()},
        "layers": {
            step.name: {
                "cycles": takes,
                "reused": [axis for axis, at in zip(AXES, step.axes, strict=True) if not at.dense],
            }
            for step, takes in zip(array.steps, array.layer_cycles, strict=True)
        },
    }


def _testbench(name: str, array: Design, images: int) -> str:
    pixels, logits = (int(np.prod(shape)) for shape in (array.program.input.shape, array.steps[-1].shape))
    patience = 20 * (array.cycles + pixels) + 10_000
    return _render(
        "testbench.v.jinja", name=name, images=images, pixels=pixels, logits=logits, held=HELD, patience=patience
    )


def _image(values: np.ndarray) -> str:
    """Return bytes for ``$readmemh``, a line each."""
    return "".join(f"{value:02x}\n" for value in values.astype(np.uint8).ravel())


def _render(template: str, **context: Any) -> str:
    return environment(Path(__file__).parent / "templates").get_template(template).render(context)
