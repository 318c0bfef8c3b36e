"""What the blocks of an accelerator are told: settings of every layer, places in the buffer, weights, widths."""

from __future__ import annotations

import itertools
import math

import numpy as np

from horner.backends.rtl.step import Step
from horner.backends.rtl.streams import bits
from horner.basis import Axis
from horner.program.bounds import largest_input
from horner.program.program import Program
from horner.program.schedule import DENSE, OUT, core

Settings = dict[str, dict[str, int]]
"""Of every block, what a layer sets its inputs to."""


def places_of(program: Program, steps: tuple[Step, ...]) -> tuple[int, list[tuple[int, int]]]:
    """Return the words of the buffer, and where every layer reads and writes: the image, then two halves in turn."""
    image = math.prod(program.input.shape)
    sizes = [math.prod(step.shape) for step in steps[:-1]]
    halves = [max(sizes[turn::2], default=0) for turn in (0, 1)]
    starts = [image, image + halves[0]]
    written = [starts[turn % 2] for turn in range(len(steps))]
    return image + sum(halves), list(zip([0, *written[:-1]], [*written[:-1], 0], strict=True))


def settings_of(step: Step, source: int, target: int, word: int, filter_: int) -> Settings:
    """Return the settings of a layer.

    Parameters
    ----------
    source, target
        Where its map and its result begin in the buffer.
    word, filter_
        Where its weights begin, and its filters' biases and multipliers.
    """
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


def words_of(step: Step, rows: int, columns: int, width: int) -> list[int]:
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


def widths_of(steps: tuple[Step, ...]) -> dict[str, int]:
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
