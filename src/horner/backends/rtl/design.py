"""From a program to the sizes, settings and memories of an accelerator: everything but the hardware itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from horner.backends.reference import run
from horner.backends.rtl.streams import bits
from horner.backends.rtl.transpose import transposed
from horner.basis import Axis
from horner.errors import ArchitectureError
from horner.program.bounds import largest_input
from horner.program.layers import Conv, MaxPool, Value
from horner.program.program import Program
from horner.program.schedule import COL, DENSE, IN, OUT, ROW, Schedule, core, possible
from horner.program.weights import Positional

SLOWER = 1.05
"""Times the cycles of another design that count as equal throughput."""

REQUANTISER = 3
"""Its adders: bias, rounding, zero point."""

Settings = dict[str, dict[str, int]]
"""Of every block, what a layer sets its inputs to."""


@dataclass(frozen=True)
class Step:
    """A convolution on the array, with the pooling that follows it.

    Parameters
    ----------
    source, result
        The activations read and made.
    pool
        Rows and columns of a window of the maximum that follows.
    core
        What operands are multiplied by, ``(out, in, row, col)``.
    columns, wide
        Of the `Design`.
    """

    name: str
    conv: Conv
    source: Value
    result: Value
    pool: tuple[int, int]
    schedule: Schedule
    core: np.ndarray
    columns: int
    wide: bool

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Of out, in, row and col: dense where nothing is reused."""
        kept = self.schedule.kept
        return tuple(
            self.conv.weights.axes[i] if isinstance(self.conv.weights, Positional) and i in kept else Axis(length)
            for i, length in enumerate(self.conv.weights.shape)
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of what is stored: the result, pooled."""
        channels, rows, columns = self.result.shape
        return channels, rows // self.pool[0], columns // self.pool[1]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns read, padding included."""
        (rows, columns), kernel, stride = self.result.shape[1:], self.conv.weights.shape[2:], self.conv.stride
        return (rows - 1) * stride[0] + kernel[0], (columns - 1) * stride[1] + kernel[1]

    @property
    def inner(self) -> int:
        """Channels, or their sums."""
        return self.core.shape[IN]

    @property
    def taps(self) -> int:
        """Vectors of operands at every position: channels or their sums, times columns of the kernel or their sums."""
        return self.inner * self.core.shape[COL]

    @property
    def passes(self) -> int:
        """Over every window: filters, or coefficients along them, by columns of the array."""
        return -(-self.core.shape[OUT] // self.columns)

    @property
    def filters(self) -> int:
        """Filters or coefficients of a pass: as even as can be."""
        return -(-self.core.shape[OUT] // self.passes)

    @property
    def cycles(self) -> int:
        """What the slowest block takes: reading, line buffers, column windows, the array, outputs."""
        filters, channels, rows, columns = self.conv.weights.shape
        _, height, width = self.result.shape
        positions = height * width
        array = self.passes * max(self.taps, self.filters)
        return max(
            self.size[0] * self.size[1] * channels,
            height * self.size[1] * self.inner * (1 if self.wide else rows),
            0 if self.axes[COL].dense else height * (width * columns + columns - self.conv.stride[1]) * self.inner,
            positions * array,
            positions * filters,
        )


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

    @property
    def cycles(self) -> int:
        """Cycles of one image, fill and drain left out."""
        return sum(step.cycles for step in self.steps)

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
            "operands": (2 << (self.largest("array", "taps") - 1).bit_length(), self.rows * self.widths["operand"]),
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
                steps = tuple(_steps(laid_out, rows, columns, reuse, wide))
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
    depth, places = _places(program, steps)
    shift = max(step.conv.output.shift for step in steps)
    words: list[int] = []
    filters: list[tuple[int, int]] = []
    settings = []
    widths = _widths(steps)
    for step, (source, target) in zip(steps, places, strict=True):
        settings.append(_settings(step, source, target, len(words), len(filters)))
        words += _words(step, rows, columns, widths["weight"])
        multipliers = step.conv.output.multiplier.expand().astype(object) << (shift - step.conv.output.shift)
        biases = step.conv.bias.expand() if step.conv.bias is not None else np.zeros(len(multipliers), int)
        filters += [(int(b), int(m)) for b, m in zip(biases, multipliers, strict=True)]
    widths["multiplier"] = max(bits(abs(multiplier)) for _, multiplier in filters)
    return Design(program, rows, columns, turned, wide, steps, tuple(settings), words, filters, shift, widths, depth)


def _steps(program: Program, rows: int, columns: int, reuse: bool, wide: bool) -> Iterator[Step]:
    if not program.integer:
        raise ArchitectureError("the array computes integers; this program is of floats")
    layers = list(zip(program.names, program.layers, strict=True))
    number = 0
    while number < len(layers):
        name, layer = layers[number]
        if not isinstance(layer, Conv):
            raise ArchitectureError(
                f"{name}: {type(layer).__name__}; the array does convolutions and fully connected layers, each with "
                "a maximum over windows that do not overlap"
            )
        if layer.source != number:
            raise ArchitectureError(f"{name} reads value {layer.source}; the array does layers one after the other")
        if layer.groups != 1 or layer.dilation != (1, 1):
            raise ArchitectureError(
                f"{name}: {layer.groups} groups, dilation {layer.dilation}; the array does 1 and (1, 1)"
            )
        if layer.stride[1] > layer.weights.shape[COL] > 1:
            raise ArchitectureError(
                f"{name}: stride {layer.stride} of a kernel of {layer.weights.shape[2:]}; the array takes no steps "
                "longer than the kernel, unless that is of one column"
            )
        source, result = program.values[number], program.values[number + 1]
        pool = (1, 1)
        number += 1
        if number < len(layers) and isinstance(following := layers[number][1], MaxPool):
            pool = _pool(layers[number][0], following, result, number)
            number += 1
        ways = [
            Step(name, layer, source, result, pool, schedule, core(layer, schedule), columns, wide)
            for schedule in (possible(layer) if reuse else [DENSE])
            if _gathers(layer, schedule)
        ]
        fitting = [step for step in ways if step.core.shape[ROW] <= rows]
        if not fitting:
            least = min(step.core.shape[ROW] for step in ways)
            raise ArchitectureError(f"{name}: {least} rows of a kernel do not fit an array of {rows} rows; enlarge it")
        yield min(fitting, key=lambda step: (step.cycles, step.core.size, len(step.schedule.kept)))


def _gathers(conv: Conv, schedule: Schedule) -> bool:
    """Whether gather and spread units can do a schedule: index nodes, equal terms, kernels in one piece."""
    if schedule.by_level:
        return False
    if not isinstance(conv.weights, Positional):
        return True
    for i in schedule.kept:
        axis = conv.weights.axes[i]
        if axis.nodes != "index" or len({terms for _, _, terms in axis.runs}) > 1:
            return False
        if i in (ROW, COL) and axis.segment != axis.length:
            return False
    return True


def _pool(name: str, pool: MaxPool, source: Value, number: int) -> tuple[int, int]:
    _, height, width = source.shape
    if pool.source != number or pool.kernel != pool.stride or pool.padding != (0, 0) or pool.dilation != (1, 1):
        raise ArchitectureError(
            f"{name}: windows of {pool.kernel}, stride {pool.stride}, padding {pool.padding}; the array takes the "
            "maximum over windows that do not overlap, without padding, right after a convolution"
        )
    if height % pool.kernel[0] or width % pool.kernel[1]:
        raise ArchitectureError(f"{name}: windows of {pool.kernel} do not divide a map of {height}x{width}")
    return pool.kernel


def _places(program: Program, steps: tuple[Step, ...]) -> tuple[int, list[tuple[int, int]]]:
    """Return the words of the buffer, and where every layer reads and writes: the image, then two halves in turn."""
    image = math.prod(program.input.shape)
    sizes = [math.prod(step.shape) for step in steps[:-1]]
    halves = [max(sizes[turn::2], default=0) for turn in (0, 1)]
    starts = [image, image + halves[0]]
    written = [starts[turn % 2] for turn in range(len(steps))]
    return image + sum(halves), list(zip([0, *written[:-1]], [*written[:-1], 0], strict=True))


def _settings(step: Step, source: int, target: int, word: int, filter_: int) -> Settings:
    conv, result = step.conv, step.result
    filters, channels, kernel_rows, kernel_columns = conv.weights.shape
    _, height, width = step.source.shape
    out, inside, row, col = step.axes
    rows_read, columns_read = step.size

    def group(axis: Axis) -> dict[str, int]:
        """Return lengths of segments, of which the last, which may be short, comes first."""
        if axis.dense:
            return {"gathers": 0, "first_last": 0, "length_last": 0, "groups_last": 0}
        pieces = [size for _, size in axis.pieces]
        return {
            "gathers": 1,
            "first_last": pieces[-1] - 1,
            "length_last": pieces[0] - 1,
            "groups_last": len(pieces) - 1,
        }

    def terms(axis: Axis) -> int:
        return 1 if axis.dense else axis.runs[0][2]

    skips = conv.stride[1] > kernel_columns
    inner_rows, last = step.inner * columns_read, [size for _, size in out.pieces][-1]
    return {
        "reader": {
            "base": source,
            "rows_last": rows_read - 1,
            "columns_last": columns_read - 1,
            "top": conv.padding[0],
            "bottom": conv.padding[0] + height,
            "left": conv.padding[1],
            "right": conv.padding[1] + width,
            "channels_last": channels - 1,
            "row_words": width * channels,
            "zero": step.source.zero_point,
        },
        "channel_sums": group(inside),
        "channel_terms": {"terms_last": terms(inside) - 1},
        "lines": {
            "length_last": kernel_rows - 1,
            "stride_last": conv.stride[0] - 1,
            "steps_last": rows_read - 1,
            "inner": inner_rows,
            "top": (kernel_rows - 1) * inner_rows,
        },
        "row_sums": {"gathers": int(not row.dense), "first_last": kernel_rows - 1, "length_last": 0, "groups_last": 0},
        # without sums over columns the array's operands slide instead
        "steps": {
            "length_last": 0 if col.dense else kernel_columns - 1,
            "stride_last": conv.stride[1] - 1 if skips or not col.dense else 0,
            "steps_last": columns_read - 1,
            "inner": step.inner,
            "top": 0 if col.dense else (kernel_columns - 1) * step.inner,
        },
        "column_sums": group(col),
        "column_terms": {"terms_last": terms(col) - 1},
        "array": {
            "taps": step.taps,
            "advance": step.inner * conv.stride[1] if col.dense and not skips else step.taps,
            "positions_last": result.shape[2] - 1,
            "passes_last": step.passes - 1,
            "columns_last": step.filters - 1,
            "tail_last": (step.core.shape[OUT] - 1) % step.filters,
            "base": word,
        },
        "spread": {
            "terms_last": terms(out) - 1,
            "length_last": 0 if out.dense else (out.segment or 1) - 1,
            "final_last": 0 if out.dense else last - 1,
            "segments_last": 0 if out.dense else len(out.pieces) - 1,
        },
        "requantise": {
            "base": filter_,
            "filters_last": filters - 1,
            "zero": result.zero_point,
            "low": int(conv.output.low),
            "high": int(conv.output.high),
        },
        "pool": {
            "rows_last": step.pool[0] - 1,
            "columns_last": step.pool[1] - 1,
            "steps_last": step.shape[2] - 1,
            "channels_last": filters - 1,
        },
        "writer": {"base": target, "outputs_last": math.prod(step.shape) - 1},
    }


def _words(step: Step, rows: int, columns: int, width: int) -> list[int]:
    """Return the weights in the order in which operands come, a word for a vector: ``[pass][tap][column][row]``."""
    _, inside, _, col = step.axes
    channels = list(range(step.inner))[::-1]
    if not inside.dense:
        terms = inside.runs[0][2]
        channels = [s * terms + k for s in range(len(inside.pieces))[::-1] for k in range(terms)]
    ordered = step.core[:, channels].astype(object)  # filters, channels, rows, columns
    filters, _, kernel_rows, _ = ordered.shape
    even = np.zeros((step.passes * step.filters, step.taps, kernel_rows), object)
    order = (0, 3, 1, 2) if col.dense else (0, 1, 3, 2)  # sums come channel by channel
    even[:filters] = ordered.transpose(order).reshape(filters, step.taps, kernel_rows)
    padded = np.zeros((step.passes, step.taps, columns, rows), object)
    padded[:, :, : step.filters, :kernel_rows] = even.reshape(
        step.passes, step.filters, step.taps, kernel_rows
    ).transpose(0, 2, 1, 3)
    lanes = padded.reshape(-1, columns * rows)
    mask = (1 << width) - 1
    return [sum((int(weight) & mask) << (width * lane) for lane, weight in enumerate(word)) for word in lanes]


def _widths(steps: tuple[Step, ...]) -> dict[str, int]:
    """Return bits that hold the largest magnitudes that any layer can give, block after block."""
    most: dict[str, int] = dict.fromkeys(("channel", "row", "operand", "weight", "sum", "biased"), 0)

    def at_most(what: str, value: int) -> None:
        most[what] = max(most[what], int(value))

    for step in steps:
        _, inside, row, col = step.axes
        reach = largest_input(step.source)
        for what, axis in (("channel", inside), ("row", row), ("operand", col)):
            reach *= 1 if axis.dense else max(axis.gather([1] * axis.length))
            at_most(what, reach)
        at_most("weight", np.abs(step.core).max())
        # sums on the way may wrap: what is made of them by additions fits, and that is all that is looked at
        expanded = core(step.conv, DENSE)
        sums = np.abs(expanded).reshape(len(expanded), -1).sum(1).astype(object) * largest_input(step.source)
        at_most("sum", max(sums))
        bias = np.abs(step.conv.bias.expand()).astype(object) if step.conv.bias is not None else 0
        at_most("biased", (sums + bias).max())
    for before, after in itertools.pairwise(("channel", "row", "operand")):
        most[after] = max(most[after], most[before])
    most["biased"] = max(most["biased"], most["sum"])
    return {what: bits(value) for what, value in most.items()}
