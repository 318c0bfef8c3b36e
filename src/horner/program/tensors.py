"""How stored weights and per-channel vectors are written to bits and read back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from horner.basis import Axis, Nodes
from horner.errors import FileError
from horner.program.arithmetic import FEWEST, MOST, MOST_SAVED, Model, Signed, Unsigned, decode, encode
from horner.program.bitstream import BitReader, BitWriter
from horner.program.lanes import decode as decode_lanes
from horner.program.lanes import encode as encode_lanes
from horner.program.weights import FLOAT_BITS, LARGEST_SHIFT, Positional, Ranked, Weights, terms, usual_shifts

SHIFT_BITS = 5
FORMS = (None, 0, 1, 2)
"""Degrees of an axis in the order of their codes, a dense one first."""


def write_weights(writer: BitWriter, name: str, weights: Weights) -> None:
    """Write a layer's weights, whose shape the reader knows."""
    writer.flag(isinstance(weights, Ranked))
    _write_bits(writer, weights.bits)
    if isinstance(weights, Ranked):
        writer.uint(weights.level_bits - 1, 3)
        writer.uint(weights.degree, 2)
        writer.flag(weights.zero)
        writer.flag(len(weights.core) > 1)
    else:
        for axis in weights.axes:
            _write_axis(writer, axis)
    writer.part = f"{name} shifts"
    _write_shifts(writer, weights)
    writer.part = f"{name} coefficients"
    _write_core(writer, weights)
    if isinstance(weights, Ranked):
        writer.part = f"{name} levels"
        _write_run(writer, weights.levels, weights.level_bits, Unsigned)


def read_weights(reader: BitReader, shape: tuple[int, ...], integer: bool) -> Weights:
    """Read weights of a known shape."""
    is_ranked = reader.flag()
    bits = _read_bits(reader, integer)
    if not is_ranked:
        return _read_positional(reader, shape, bits)
    level_bits, degree = 1 + reader.uint(3), reader.uint(2)
    zero, per_filter = reader.flag(), reader.flag()
    if degree > 2:
        raise FileError(f"a curve of degree {degree}")
    curve = Axis((1 << level_bits) - zero, degree=degree)
    shifts = _read_shifts(reader, (curve,), bits)
    core = _read_core(reader, (shape[0] if per_filter else 1, terms(curve)), bits)
    levels = _read_run(reader, math.prod(shape), level_bits, Unsigned).astype(np.uint8).reshape(shape)
    return Ranked(levels, level_bits, degree, zero, core, bits, shifts)


def write_vector(writer: BitWriter, vector: Positional) -> None:
    """Write a vector of one value per channel, whose length the reader knows."""
    _write_bits(writer, vector.bits)
    _write_axis(writer, vector.axes[0])
    _write_shifts(writer, vector)
    _write_core(writer, vector)


def read_vector(reader: BitReader, length: int, integer: bool) -> Positional:
    """Read a vector of a known length."""
    return _read_positional(reader, (length,), _read_bits(reader, integer))


def _read_positional(reader: BitReader, shape: tuple[int, ...], bits: int) -> Positional:
    axes = tuple(_read_axis(reader, length) for length in shape)
    shifts = _read_shifts(reader, axes, bits)
    return Positional(axes, _read_core(reader, tuple(axis.coefficients for axis in axes), bits), bits, shifts)


def _write_bits(writer: BitWriter, bits: int) -> None:
    if bits != FLOAT_BITS:
        writer.uint(bits - 1, 4)


def _read_bits(reader: BitReader, integer: bool) -> int:
    return 1 + reader.uint(4) if integer else FLOAT_BITS


def _write_axis(writer: BitWriter, axis: Axis) -> None:
    writer.uint(FORMS.index(axis.degree), 2)
    if axis.degree is None:
        return
    assert axis.segment is not None
    writer.flag(axis.segment != axis.length)
    if axis.segment != axis.length:
        writer.golomb(axis.segment - 1, 2)
    if axis.degree:
        writer.flag(axis.nodes == "pow2")


def _read_axis(reader: BitReader, length: int) -> Axis:
    degree = FORMS[reader.uint(2)]
    if degree is None:
        return Axis(length)
    segment = 1 + reader.golomb(2, length - 1) if reader.flag() else length
    nodes: Nodes = "pow2" if degree and reader.flag() else "index"
    return Axis(length, segment, degree, nodes)


def _write_shifts(writer: BitWriter, weights: Weights) -> None:
    """Write the shifts: the usual ones and one more for all of them, else every family's own.

    A family's own is written as what it differs by from that of a family one order lower.
    """
    if weights.bits == FLOAT_BITS:
        return
    assert weights.shifts is not None
    shifts = weights.shifts.astype(int)
    if writer.version > 1:
        more = shifts - usual_shifts(_axes(weights))
        usual = bool((more == more.flat[0]).all() and more.flat[0] >= 0)
        if more.size > 1:
            writer.flag(not usual)
        if usual:
            writer.flag(bool(more.flat[0]))
            if more.flat[0]:
                writer.uint(int(more.flat[0]), SHIFT_BITS)
            return
    else:
        writer.flag(bool(shifts.any()))
        if not shifts.any():
            return
    for family in np.ndindex(shifts.shape):
        lower = _lower(family)
        if lower is None:
            writer.uint(int(shifts[family]), SHIFT_BITS)
        else:
            change = int(shifts[family] - shifts[lower])
            writer.golomb(2 * change if change >= 0 else -2 * change - 1, 0)


def _axes(weights: Weights) -> Sequence[Axis]:
    """The axes whose orders tell families apart."""
    return (weights.curve,) if isinstance(weights, Ranked) else weights.axes


def _read_shifts(reader: BitReader, axes: Sequence[Axis], bits: int) -> np.ndarray | None:
    if bits == FLOAT_BITS:
        return None
    families = tuple(terms(axis) for axis in axes)
    listed = reader.flag() if reader.version == 1 or math.prod(families) > 1 else False
    if not listed:
        if reader.version == 1:
            return None
        more = reader.uint(SHIFT_BITS) if reader.flag() else 0
        return np.minimum(usual_shifts(axes) + more, LARGEST_SHIFT)
    shifts = np.zeros(families, int)
    for family in np.ndindex(families):
        lower = _lower(family)
        if lower is None:
            shifts[family] = reader.uint(SHIFT_BITS)
        else:
            code = reader.golomb(0, 2 * LARGEST_SHIFT)
            shifts[family] = shifts[lower] + (-(code + 1) // 2 if code % 2 else code // 2)
    return shifts


def _lower(family: tuple[int, ...]) -> tuple[int, ...] | None:
    """The family whose last order above 0 is one less; None for the family of order 0 throughout."""
    last = max((i for i, order in enumerate(family) if order), default=None)
    return None if last is None else (*family[:last], family[last] - 1, *family[last + 1 :])


def _write_core(writer: BitWriter, weights: Weights) -> None:
    if weights.bits == FLOAT_BITS:
        writer.array(weights.core.view(np.uint32), FLOAT_BITS)
    else:
        _write_run(writer, weights.core, weights.bits, Signed)


def _read_core(reader: BitReader, shape: tuple[int, ...], bits: int) -> np.ndarray:
    count = math.prod(shape)
    if bits == FLOAT_BITS:
        return reader.array(count, bits).astype(np.uint32).view(np.float32).reshape(shape)
    return _read_run(reader, count, bits, Signed).reshape(shape)


def _write_run(writer: BitWriter, values: np.ndarray, bits: int, model: Model) -> None:
    """Write a run of numbers coded where that is shorter, with a bit to say so; plain where it may not be coded."""
    if _coded_in_lanes(writer.version, values.size):
        lanes = encode_lanes(values, bits, model is Signed)
        worth = lanes.bits < values.size * bits <= MOST_SAVED * lanes.bits
        writer.flag(worth)
        if worth:
            lanes.write(writer)
            return
    elif FEWEST <= values.size <= MOST:
        digits = writer.coded_there()
        if digits is None:
            digits = encode(values, bits, model, writer.version)
        writer.flag(digits is not None)
        if digits is not None:
            writer.array(digits, 1)
            return
    writer.array(values, bits)


def _read_run(reader: BitReader, count: int, bits: int, model: Model) -> np.ndarray:
    if _coded_in_lanes(reader.version, count) and reader.flag():
        reader.expect(-(-count * bits // MOST_SAVED), f"a coded run of {count} numbers of {bits} bits")
        return decode_lanes(reader, count, bits, model is Signed)
    if FEWEST <= count <= MOST and reader.flag():
        return decode(reader, count, bits, model)
    return reader.array(count, bits, signed=model is Signed)


def _coded_in_lanes(version: int, count: int) -> bool:
    return version > 2 and count > MOST
