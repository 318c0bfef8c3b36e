"""From a program to the sizes, settings and memories of an accelerator: everything but the hardware itself."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from horner.backends.reference import run
from horner.backends.rtl.array import ring_of
from horner.backends.rtl.settings import Settings, places_of, settings_of, widths_of, words_of
from horner.backends.rtl.step import Step, steps_of
from horner.backends.rtl.streams import bits
from horner.backends.rtl.transpose import transposed
from horner.basis import Axis
from horner.errors import ArchitectureError
from horner.hardware.stream import cycles
from horner.program.layers import Conv
from horner.program.program import Program
from horner.program.schedule import COL, IN, OUT, ROW

SLOWER = 1.05
"""Times the cycles of another design that count as equal throughput."""

REQUANTISER = 3
"""Its adders: bias, rounding, zero point."""


@dataclass(frozen=True)
class Design:
    """An accelerator for one program.

    Parameters
    ----------
    rows, columns
        PEs: rows of a kernel (or their sums) down, filters (or coefficients) across.
    words
        Of the weight memory: for every address, ``columns x rows`` weights.
    turned
        The program is transposed: images come column by column, and columns of a kernel lie down the array.
    wide
        Line buffers give all rows of a kernel in a cycle, and their sums are gathered by as many adders as it takes;
        otherwise a row a cycle, with an adder an order.
    filters
        Bias and multiplier of every output channel of every layer.
    """

    program: Program
    rows: int
    columns: int
    turned: bool
    wide: bool
    steps: tuple[Step, ...]
    settings: tuple[Settings, ...]
    words: list[int] = field(repr=False)
    filters: list[tuple[int, int]] = field(repr=False)
    shift: int
    widths: dict[str, int]
    depth: int

    @functools.cached_property
    def layer_cycles(self) -> tuple[int, ...]:
        """Cycles of every layer of one image, a register in every block that gathers or spreads included."""
        ring = ring_of(self.largest("array", "taps"))
        slides = self.of(COL) or self.largest("steps", "stride_last")
        units = [self.of(IN), self.of(ROW) or not self.wide, slides, slides, self.of(OUT)]
        return tuple(cycles(step.stream(ring)) + sum(map(bool, units)) for step in self.steps)

    @property
    def cycles(self) -> int:
        """Cycles of one image, layer after layer."""
        return sum(self.layer_cycles)

    @property
    def multipliers(self) -> int:
        """One a PE, and that of the requantiser."""
        return self.rows * self.columns + 1

    @property
    def adders(self) -> int:
        """One a PE, one for each further row where sums leave, those of gather and spread units and the requantiser."""
        inside, row, col, out = (
            max((axis.runs[0][2] for axis in self.of(axis)), default=0) for axis in (IN, ROW, COL, OUT)
        )
        if self.wide:
            places = max(self.rows, self.largest("lines", "length_last") + 1)
            row = sum(places - order - 1 for order in range(row))
        return self.rows * self.columns + self.rows - 1 + inside + row + self.rows * col + max(out - 1, 0) + REQUANTISER

    @property
    def operators(self) -> int:
        """Adders and multipliers of the data path; what counts and addresses is left out."""
        return self.adders + self.multipliers

    @property
    def memories(self) -> dict[str, tuple[int, int]]:
        """Words and bits of a word of the memories that grow with a network."""
        last = {name: self.largest("steps", name) for name in ("top", "inner")} if self.of(COL) else None
        found = {
            "weights": (len(self.words), self.rows * self.columns * self.widths["weight"]),
            "filters": (len(self.filters), self.widths["biased"] + self.widths["multiplier"]),
            "activations": (self.depth, 8),
            "lines": (self.largest("lines", "top") + self.largest("lines", "inner"), self.widths["channel"]),
            "operands": (ring_of(self.largest("array", "taps")), self.rows * self.widths["operand"]),
        }
        return found | ({"columns": (last["top"] + last["inner"], self.rows * self.widths["row"])} if last else {})

    def sent(self, images: np.ndarray) -> np.ndarray:
        """Return the pixels of images, as `Program.quantise` takes them, in the order in which they are sent."""
        images = np.asarray(images).swapaxes(-1, -2) if self.turned else np.asarray(images)
        return self.program.quantise(images).transpose(0, 2, 3, 1).reshape(len(images), -1)

    def received(self, logits: np.ndarray) -> np.ndarray:
        """Return what came out, of the shape that `horner.backends.reference.run` gives."""
        channels, rows, columns = self.steps[-1].shape
        outputs = logits.reshape(-1, rows, columns, channels)
        outputs = outputs.transpose(0, 3, 2, 1) if self.turned else outputs.transpose(0, 3, 1, 2)
        return outputs[:, :, 0, 0] if (rows, columns) == (1, 1) else outputs

    def expected(self, images: np.ndarray) -> np.ndarray:
        """Return the logits of images, by the reference, in the order in which they come out."""
        images = np.asarray(images).swapaxes(-1, -2) if self.turned else np.asarray(images)
        outputs = run(self.program, images)
        outputs = outputs.reshape(len(images), *self.steps[-1].shape)
        return outputs.transpose(0, 2, 3, 1).reshape(len(images), -1)

    def largest(self, block: str, name: str) -> int:
        """Return the largest value that any layer sets."""
        return max(settings[block][name] for settings in self.settings)

    def of(self, axis: int) -> list[Axis]:
        """Return an axis of every layer that reuses sums along it."""
        return [step.axes[axis] for step in self.steps if not step.axes[axis].dense]


def design(program: Program, rows: int, columns: int, reuse: bool = True) -> Design:
    """Lay a program out on an array of ``rows x columns`` PEs.

    Every layer reuses sums along those axes that take the fewest cycles, then the fewest coefficients; without `reuse`
    every weight is multiplied, Row Stationary. Line buffers that give a row of the kernel a cycle or all of them, and
    kernels upright or on their side: of these the design of the fewest operators times cycles is taken.

    Raises
    ------
    ArchitectureError
        For layers that the array cannot do, and arrays too small for a kernel.
    """
    if min(rows, columns) < 1:
        raise ArchitectureError(f"{rows}x{columns} PEs; at least 1x1 are needed")
    ways, errors = [], []
    for wide in (False, True) if reuse else (True,):
        for turned in (False, True):
            laid_out = transposed(program) if turned else program
            try:
                steps = tuple(steps_of(laid_out, rows, columns, reuse, wide))
            except ArchitectureError as error:
                errors.append(error)
            else:
                ways.append((laid_out, turned, wide, steps))
    if not ways:
        raise errors[0]

    return min((_laid_out(rows, columns, *way) for way in ways), key=lambda made: made.operators * made.cycles)


def baseline(program: Program, reuses: Design) -> Design:
    """Return the Row Stationary array of the fewest columns that is at least as fast (at most 5 % slower).

    Raises
    ------
    ArchitectureError
        When no array is, however wide.
    """
    rows = max(layer.weights.shape[ROW] for layer in program.layers if isinstance(layer, Conv))
    most = max(layer.weights.shape[OUT] for layer in program.layers if isinstance(layer, Conv))
    for columns in range(1, most + 1):
        found = design(program, rows, columns, reuse=False)
        if found.cycles <= SLOWER * reuses.cycles:
            return found
    raise ArchitectureError(f"no Row Stationary array is as fast as {reuses.rows}x{reuses.columns} PEs that reuse sums")


def _laid_out(rows: int, columns: int, program: Program, turned: bool, wide: bool, steps: tuple[Step, ...]) -> Design:
    depth, places = places_of(program, steps)
    shift = max(step.conv.output.shift for step in steps)
    words: list[int] = []
    filters: list[tuple[int, int]] = []
    settings = []
    widths = widths_of(steps)
    for step, (source, target) in zip(steps, places, strict=True):
        settings.append(settings_of(step, source, target, len(words), len(filters)))
        words += words_of(step, rows, columns, widths["weight"])
        multipliers = step.conv.output.multiplier.expand().astype(object) << (shift - step.conv.output.shift)
        biases = step.conv.bias.expand() if step.conv.bias is not None else np.zeros(len(multipliers), int)
        filters += [(int(b), int(m)) for b, m in zip(biases, multipliers, strict=True)]
    widths["multiplier"] = max(bits(abs(multiplier)) for _, multiplier in filters)
    return Design(program, rows, columns, turned, wide, steps, tuple(settings), words, filters, shift, widths, depth)
