"""Convolutions on the host: from the work to be done to C and its constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from horner.backends.c.host.filters import Filters
from horner.backends.c.host.operand import F32, U8
from horner.backends.c.host.parts import Code, Constants, Store
from horner.backends.c.host.positions import Positions
from horner.backends.c.host.text import cascade, converted, pieces, spread
from horner.backends.c.host.work import Work
from horner.backends.c.sums import runs
from horner.backends.c.types import FLOAT, INT8, literals
from horner.program.schedule import COL, IN, OUT, ROW


def conv(work: Work, constants: Constants) -> Code:
    """Return the C of a convolution; its constants are added to `constants`."""
    return {"positions": _positions, "filters": _filters, "wide": _wide}[work.kernel](work, constants)


def _common(work: Work) -> dict[str, Any]:
    gathered = work.reuses(IN)
    integer = work.operand is not F32
    return {
        "w": work,
        "gathers_channels": gathered,
        "in_runs": runs(work.axes[IN]) if gathered else [],
        "row_pieces": pieces(work.axes[ROW]) if work.reuses(ROW) else [],
        "col_pieces": pieces(work.axes[COL]) if work.reuses(COL) else [],
        "cascade": cascade,
        "spread": spread,
        "height": work.source.shape[1],
        "width": work.source.shape[2],
        "source_type": work.operand.element if gathered else INT8 if integer else FLOAT,
        "V": work.operand.sums,
        "store": {"f32v": "store_f32v", "f64v": "store_i8_of_64"}.get(work.operand.sums, "store_i8"),
    }


def _positions(work: Work, constants: Constants) -> Code:
    layout = Positions(work)
    _, matrices = work.core
    common = _common(work)
    columns = layout.needed[1]
    extra = (work.kernel_size[1] - 1) * work.conv.dilation[1] + work.operand.parts if work.folded else 0
    line = max(columns, layout.phases * layout.row + extra)
    packed = [layout.packed(tile) for tile in layout.variants]
    zero, nothing, empty = _zeros(work)
    word = work.operand.word_bytes
    context = {
        **common,
        "p": layout,
        # the columns of one channel are the parts of a word, as they lie
        "together": work.operand is U8 and work.folded and work.channels == 1 and work.conv.dilation[1] == 1,
        "axis_rows": work.axes[ROW].coefficients,
        "axis_columns": work.axes[COL].coefficients,
        "zero": 0 if work.reuses(IN) else zero,
        "nothing": 0 if work.reuses(IN) else nothing,
        "empty": empty,
        "line": line,
        "copied": max(0, min(work.source.shape[2], line - work.conv.padding[1])),
        "virtual": work.channels * (work.kernel_size[1] if work.folded else 1),
        "group_channels": work.channels,
        "reach": layout.reach,
        "narrow": layout.narrow,
        "converted": lambda number, order, first, v: converted(
            [f"a{first + i}_{v}" for i in range(_terms(work, number))],
            matrices[number][order] if matrices else None,
            order,
        ),
        "largest": _largest,
        "weights": [constants.add(words) for words in packed],
        "group_words": [words.shape[1] for words in packed],
        "out": _output(work, constants, vectors=False),
    }
    # the gather over channels subtracts the zero point before anything is summed
    context["gather_zero"] = zero
    stores = [Store("map", layout.map_words * word), Store("panel", layout.panel_words * word)]
    if work.reuses(IN):
        stores.append(_planes(work))
    return Code("positions.c.jinja", context, tuple(stores))


def _filters(work: Work, constants: Constants) -> Code:
    layout = Filters(work)
    _, matrices = work.core
    zero = _zeros(work)[0]
    packed = layout.packed()
    size = work.operand.element.bytes
    gathered = work.reuses(IN)
    elements = work.groups * (work.taps if layout.flat else work.channels * layout.needed[0] * layout.needed[1])

    def prepared(value: str) -> str:
        if gathered or work.operand.name == "f32":
            return value
        return f"{value} ^ 0x80" if work.operand.name == "u8" else f"{value} - {zero}".replace("- -", "+ ")

    def product(total: str, x: str, w: str) -> str:
        if work.operand.parts == 1:
            return f"{total} + {x} * {w}"
        return f"add_product_{work.operand.name}v({total}, {x}, {w})"

    columns = layout.needed[1]
    context = {
        **_common(work),
        "f": layout,
        "filters": work.conv.weights.shape[OUT],
        "elements": elements,
        "prepared": prepared,
        "product": product,
        "empty": 0 if work.operand.name != "u8" else zero + 128,
        "copied": max(0, min(work.source.shape[2], columns - work.conv.padding[1])),
        "span": (work.kernel_size[1] - 1) * work.conv.dilation[1] + 1,
        "row_sums": work.reuses(ROW),
        "col_sums": work.reuses(COL),
        "out_runs": runs(work.axes[OUT]),
        "spread_input": lambda number, run, order: converted(
            [f"sums[{i}]" for i in range(run.terms)], matrices[number][order] if matrices else None, order
        ),
        "weights": constants.add(packed),
        "group_words": packed.shape[1],
        "out": _output(work, constants, vectors=True),
        "gather_zero": zero,
    }
    stores = [Store("sums", work.positions * layout.sum_words * work.operand.word_bytes)]
    if not layout.direct:
        stores.append(Store("map", elements * size))
    if not layout.flat:
        stores.append(Store("windows", work.positions * layout.window_elements * size))
        if gathered:
            stores.append(_planes(work))
    return Code("filters.c.jinja", context, tuple(stores))


def _wide(work: Work, constants: Constants) -> Code:
    weights = work.conv.weights.expand()
    filters = len(weights)
    bias = work.conv.bias.expand() if work.conv.bias is not None else np.zeros(filters, np.int64)
    output = work.conv.output
    context = {
        "w": work,
        "kernel": work.kernel_size,
        "taps": int(np.prod(weights.shape[1:])),
        "weights": constants.add(weights),
        "biases": constants.add(bias),
        "multipliers": constants.add(work.multipliers),
        "zero": work.source.zero_point,
        "shift": output.shift,
        "out_zero": output.zero_point,
        "low": int(output.low),
        "high": int(output.high),
    }
    return Code("wide.c.jinja", context, ())


def _planes(work: Work) -> Store:
    _, height, width = work.source.shape
    return Store("planes", work.groups * work.channels * height * width * work.operand.element.bytes)


def _zeros(work: Work) -> tuple[int, str, str]:
    """Return the input's zero point, what stands for a zero among its values, and for a word of them."""
    if work.operand is F32:
        return 0, "0", "0"
    zero = work.source.zero_point
    if work.operand.name == "u8":
        return zero, str(zero), f"(int32_t)0x{(zero + 128) * 0x01010101:08x}u"
    return zero, str(zero), "0"


def _terms(work: Work, number: int) -> int:
    return work.axes[OUT].runs[number][2]


def _largest(values: Sequence[str], kind: str) -> str:
    text = values[0]
    for value in values[1:]:
        text = f"max_{kind}({text}, {value})"
    return text


def _output(work: Work, constants: Constants, vectors: bool) -> dict[str, Any]:
    """How sums become activations: in 32 bits where that is exact, in 64 otherwise.

    Constants are C expressions: of one filter, or, with `vectors`, of as many as a vector holds.
    """
    output = work.conv.output
    multipliers = work.multipliers
    kind = work.operand.sums
    word = work.operand.word
    number = np.int32 if word == "int32_t" else work.operand.weight

    def each(values: np.ndarray) -> str:
        values = values.astype(number)
        if np.unique(values).size == 1:
            literal = literals(values[:1])[0] if word != "double" else str(float(values[0]))
            return f"splat_{kind}({literal})" if vectors else literal
        at = constants.add(np.pad(values, (0, work.lanes)))
        if vectors:
            return f"load_{kind}((const {word} *)(constants + {at}) + channel)"
        return f"((const {word} *)(constants + {at}))[channel]"

    context: dict[str, Any] = {
        "bias": each(work.biases) if work.biases is not None else None,
        "multiplier": each(multipliers),
        "shift": output.shift,
        "zero": output.zero_point,
    }
    if word == "float":
        ends = [literals(np.array([x], np.float32))[0] if np.isfinite(x) else None for x in (output.low, output.high)]
        return {**context, "form": "float", "low": ends[0], "high": ends[1]}
    low, high = int(output.low), int(output.high)
    if word == "double":
        return {**context, "form": "f64", "low": low, "high": high}
    above, below = high - output.zero_point, output.zero_point - low
    largest = int(multipliers.max())
    half = (1 << output.shift) >> 1
    fits = min(above, below) >= 0 and multipliers.min() > 0 and max(above, below, 1) << output.shift < 1 << 31
    fits = fits and (max(above, below) << output.shift) + largest + half < 1 << 31 and 2 * largest <= 1 << output.shift
    if not fits:
        return {**context, "form": "64", "low": low, "high": high}
    most = -((-above << output.shift) // multipliers)
    if below == 0:
        return {**context, "form": "positive", "most": each(most)}
    least = (-below << output.shift) // multipliers
    return {**context, "form": "32", "most": each(most), "least": each(least)}
