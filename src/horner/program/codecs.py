"""How every kind of layer is written to bits and read back; the format is specified in docs/file-format.md.

A layer's own code says everything that the layers before it do not: the channels it reads and the lengths of its
vectors follow from shapes known by then. A field with a usual value costs one bit when it has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from horner.errors import FileError
from horner.program.bitstream import BitReader, BitWriter
from horner.program.integer import INT8_HIGH, INT8_LOW
from horner.program.layers import (
    AdaptiveAveragePool,
    Add,
    AveragePool,
    Concat,
    Conv,
    Flatten,
    Layer,
    MaxPool,
    Output,
    Pair,
    Value,
)
from horner.program.tensors import read_vector, read_weights, write_vector, write_weights
from horner.program.weights import signed_bits

LARGEST = (1 << 24) - 1
"""Largest kernel, stride, padding, dilation or size of a map, beyond which no activation fits."""


@dataclass(frozen=True)
class Scope:
    """What is known where a layer stands: the values before it, and whether the program computes on integers."""

    values: Sequence[Value]
    integer: bool

    @property
    def latest(self) -> int:
        """Number of the value just made."""
        return len(self.values) - 1


class Codec(Protocol):
    """Writes one kind of layer and reads it back."""

    def write(self, writer: BitWriter, name: str, layer: Any, scope: Scope) -> None:
        """Write the layer; `name` begins the names of its parts."""

    def read(self, reader: BitReader, scope: Scope) -> Layer:
        """Read the layer; raise FileError or ProgramError where it cannot be one."""


def write_layer(writer: BitWriter, name: str, layer: Layer, scope: Scope) -> None:
    """Write the kind of a layer and the layer."""
    writer.part = f"{name} graph"
    kind = KINDS.index(type(layer))
    writer.flag(kind == 0)
    if kind:
        writer.uint(kind - 1, 3)
    CODECS[type(layer)].write(writer, name, layer, scope)


def read_layer(reader: BitReader, scope: Scope) -> Layer:
    """Read a layer of whatever kind comes next."""
    kind = 0 if reader.flag() else 1 + reader.uint(3)
    if kind >= len(KINDS):
        raise FileError(f"layers of kind {kind} are unknown")
    return CODECS[KINDS[kind]].read(reader, scope)


class _Conv:
    def write(self, writer: BitWriter, name: str, layer: Conv, scope: Scope) -> None:
        source = scope.values[layer.source]
        _write_source(writer, layer.source, scope)
        out, _, *kernel = layer.weights.shape
        writer.golomb(out - 1, 4)
        whole = tuple(kernel) == source.shape[1:]
        writer.flag(whole)
        if not whole:
            _write_pair(writer, (kernel[0], kernel[1]), 1, 2)
        writer.flag(layer.groups != 1)
        if layer.groups != 1:
            writer.golomb(layer.groups - 1, 4)
        usual = (layer.stride, layer.padding, layer.dilation) == ((1, 1), (0, 0), (1, 1))
        writer.flag(not usual)
        if not usual:
            _write_pair(writer, layer.stride, 1, 0)
            _write_pair(writer, layer.padding, 0, 1)
            _write_pair(writer, layer.dilation, 1, 0)
        write_weights(writer, name, layer.weights)
        writer.part = f"{name} bias"
        writer.flag(layer.bias is not None)
        if layer.bias is not None:
            write_vector(writer, layer.bias)
        writer.part = f"{name} multipliers"
        write_vector(writer, layer.output.multiplier)
        writer.part = f"{name} graph"
        _write_output(writer, layer.output, scope)
        _write_clamp(writer, layer.output, scope)

    def read(self, reader: BitReader, scope: Scope) -> Conv:
        number = _read_source(reader, scope)
        channels, *size = scope.values[number].shape
        out = 1 + reader.golomb(4, LARGEST)
        kernel = (size[0], size[1]) if reader.flag() else _read_pair(reader, 1, 2)
        groups = 1 + reader.golomb(4, LARGEST) if reader.flag() else 1
        if channels % groups:
            raise FileError(f"{groups} groups do not divide {channels} channels")
        stride, padding, dilation = (1, 1), (0, 0), (1, 1)
        if reader.flag():
            stride, padding, dilation = _read_pair(reader, 1, 0), _read_pair(reader, 0, 1), _read_pair(reader, 1, 0)
        weights = read_weights(reader, (out, channels // groups, *kernel), scope.integer)
        bias = read_vector(reader, out, scope.integer) if reader.flag() else None
        multiplier = read_vector(reader, out, scope.integer)
        shift, zero_point = _read_output(reader, scope)
        low, high = _read_clamp(reader, zero_point, scope)
        output = Output(multiplier, shift, zero_point, low, high)
        return Conv(number, weights, bias, output, stride, padding, dilation, groups)


class _MaxPool:
    def write(self, writer: BitWriter, name: str, layer: MaxPool, scope: Scope) -> None:
        _write_source(writer, layer.source, scope)
        _write_window(writer, layer.kernel, layer.stride, layer.padding)
        _write_pair(writer, layer.dilation, 1, 0)
        writer.flag(layer.ceil)

    def read(self, reader: BitReader, scope: Scope) -> MaxPool:
        source = _read_source(reader, scope)
        return MaxPool(source, *_read_window(reader), _read_pair(reader, 1, 0), reader.flag())


class _AveragePool:
    def write(self, writer: BitWriter, name: str, layer: AveragePool, scope: Scope) -> None:
        _write_source(writer, layer.source, scope)
        _write_window(writer, layer.kernel, layer.stride, layer.padding)
        writer.flag(layer.ceil)
        writer.flag(not layer.count_padding)

    def read(self, reader: BitReader, scope: Scope) -> AveragePool:
        source = _read_source(reader, scope)
        return AveragePool(source, *_read_window(reader), reader.flag(), not reader.flag())


class _AdaptiveAveragePool:
    def write(self, writer: BitWriter, name: str, layer: AdaptiveAveragePool, scope: Scope) -> None:
        _write_source(writer, layer.source, scope)
        _write_pair(writer, layer.size, 1, 0)

    def read(self, reader: BitReader, scope: Scope) -> AdaptiveAveragePool:
        return AdaptiveAveragePool(_read_source(reader, scope), _read_pair(reader, 1, 0))


class _Join:
    """Layers of many inputs: sums and concatenations."""

    kind: ClassVar[type[Add] | type[Concat]]

    def write(self, writer: BitWriter, name: str, layer: Add | Concat, scope: Scope) -> None:
        writer.golomb(len(layer.inputs) - 1, 1)
        for source in layer.inputs:
            _write_source(writer, source, scope)
        if scope.integer:
            writer.part = f"{name} multipliers"
            bits = signed_bits(min(layer.multipliers), max(layer.multipliers))
            writer.uint(bits - 1, 5)
            for multiplier in layer.multipliers:
                writer.sint(multiplier, bits)
            writer.part = f"{name} graph"
        _write_output(writer, layer, scope)

    def read_fields(self, reader: BitReader, scope: Scope) -> dict[str, Any]:
        inputs = tuple(_read_source(reader, scope) for _ in range(1 + reader.golomb(1, reader.remaining)))
        multipliers: tuple[int, ...] = (1,) * len(inputs)
        if scope.integer:
            bits = 1 + reader.uint(5)
            multipliers = tuple(reader.sint(bits) for _ in inputs)
        shift, zero_point = _read_output(reader, scope)
        return {"inputs": inputs, "multipliers": multipliers, "shift": shift, "zero_point": zero_point}


class _Add(_Join):
    def write(self, writer: BitWriter, name: str, layer: Any, scope: Scope) -> None:
        super().write(writer, name, layer, scope)
        _write_clamp(writer, layer, scope)

    def read(self, reader: BitReader, scope: Scope) -> Add:
        fields = self.read_fields(reader, scope)
        low, high = _read_clamp(reader, fields["zero_point"], scope)
        return Add(**fields, low=low, high=high)


class _Concat(_Join):
    def read(self, reader: BitReader, scope: Scope) -> Concat:
        return Concat(**self.read_fields(reader, scope))


class _Flatten:
    def write(self, writer: BitWriter, name: str, layer: Flatten, scope: Scope) -> None:
        _write_source(writer, layer.source, scope)

    def read(self, reader: BitReader, scope: Scope) -> Flatten:
        return Flatten(_read_source(reader, scope))


CODECS: dict[type, Codec] = {
    Conv: _Conv(),
    MaxPool: _MaxPool(),
    AveragePool: _AveragePool(),
    AdaptiveAveragePool: _AdaptiveAveragePool(),
    Add: _Add(),
    Concat: _Concat(),
    Flatten: _Flatten(),
}
KINDS: tuple[type, ...] = tuple(CODECS)
"""The kinds of layers in the order of their numbers in files: only ever added to."""


def _write_source(writer: BitWriter, source: int, scope: Scope) -> None:
    writer.golomb(scope.latest - source, 0)


def _read_source(reader: BitReader, scope: Scope) -> int:
    return scope.latest - reader.golomb(0, scope.latest)


def _write_pair(writer: BitWriter, pair: Pair, least: int, order: int) -> None:
    writer.golomb(pair[0] - least, order)
    writer.flag(pair[1] != pair[0])
    if pair[1] != pair[0]:
        writer.golomb(pair[1] - least, order)


def _read_pair(reader: BitReader, least: int, order: int) -> Pair:
    first = least + reader.golomb(order, LARGEST)
    return (first, least + reader.golomb(order, LARGEST)) if reader.flag() else (first, first)


def _write_window(writer: BitWriter, kernel: Pair, stride: Pair, padding: Pair) -> None:
    _write_pair(writer, kernel, 1, 1)
    writer.flag(stride != kernel)
    if stride != kernel:
        _write_pair(writer, stride, 1, 0)
    _write_pair(writer, padding, 0, 0)


def _read_window(reader: BitReader) -> tuple[Pair, Pair, Pair]:
    kernel = _read_pair(reader, 1, 1)
    stride = _read_pair(reader, 1, 0) if reader.flag() else kernel
    return kernel, stride, _read_pair(reader, 0, 0)


def _write_output(writer: BitWriter, output: Output | Add | Concat, scope: Scope) -> None:
    if scope.integer:
        writer.uint(output.shift, 6)
        writer.sint(output.zero_point, 8)


def _read_output(reader: BitReader, scope: Scope) -> tuple[int, int]:
    return (reader.uint(6), reader.sint(8)) if scope.integer else (0, 0)


def _write_clamp(writer: BitWriter, output: Output | Add, scope: Scope) -> None:
    lowest, highest = _range(scope)
    wanted = {
        0: (lowest, highest),
        1: (output.zero_point, highest),
        2: (output.zero_point, output.high),
        3: (output.low, output.high),
    }
    form = next(form for form, clamp in wanted.items() if clamp == (output.low, output.high))
    writer.uint(form, 2)
    for limit in wanted[form][3 - form :] if form > 1 else ():
        _write_limit(writer, limit, scope)


def _write_limit(writer: BitWriter, limit: float, scope: Scope) -> None:
    if scope.integer:
        writer.sint(int(limit), 8)
    else:
        writer.float32(limit)


def _read_clamp(reader: BitReader, zero_point: int, scope: Scope) -> tuple[float, float]:
    lowest, highest = _range(scope)
    form = reader.uint(2)
    low = _read_limit(reader, scope) if form == 3 else lowest if form == 0 else zero_point
    high = _read_limit(reader, scope) if form >= 2 else highest
    return low, high


def _read_limit(reader: BitReader, scope: Scope) -> float:
    return reader.sint(8) if scope.integer else reader.float32()


def _range(scope: Scope) -> tuple[float, float]:
    return (INT8_LOW, INT8_HIGH) if scope.integer else (-math.inf, math.inf)
