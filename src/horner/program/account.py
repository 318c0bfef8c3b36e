"""Every number about a program that needs no hardware: ratios, bytes and exact operation counts.

docs/numbers.md says what each number means.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from horner._files import read_bytes
from horner.errors import FileError
from horner.program.bounds import accumulator_bits
from horner.program.file import LARGEST_FILE, breakdown, version_of
from horner.program.layers import AdaptiveAveragePool, Add, AveragePool, Concat, Conv, Layer, Value
from horner.program.program import Program
from horner.program.schedule import AXES, COL, DENSE, Counts, count, plan
from horner.program.weights import Positional, Ranked, Weights

if TYPE_CHECKING:
    from rich.console import Group

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Units:
    """Arithmetic units of a processing-element array."""

    multipliers: int = 0
    adders: int = 0

    @property
    def total(self) -> int:
        """Units of both kinds."""
        return self.multipliers + self.adders

    def __add__(self, other: Units) -> Units:
        return Units(self.multipliers + other.multipliers, self.adders + other.adders)


@dataclass(frozen=True)
class KernelRow:
    """Units that compute one kernel row of every filter at once: Row Stationary, and an array that reuses sums.

    Parameters
    ----------
    row_stationary
        A multiplier and an adder per filter and column of the kernel.
    reuse
        A multiplier and an adder per filter and coefficient of the `col` axis, and one shared gather unit per group.
    """

    row_stationary: Units = field(default_factory=Units)
    reuse: Units = field(default_factory=Units)

    @property
    def saved(self) -> float:
        """Part of the Row Stationary units that the reuse array does without."""
        return 1 - self.reuse.total / self.row_stationary.total if self.row_stationary.total else 0.0

    def __add__(self, other: KernelRow) -> KernelRow:
        return KernelRow(self.row_stationary + other.row_stationary, self.reuse + other.reuse)


@dataclass(frozen=True)
class LayerAccount:
    """What one layer stores and costs; counts are per inference, of the schedule named."""

    name: str
    kind: str
    shape: tuple[int, ...] | None
    plan: str
    schedule: str
    coefficients: int
    bits: int | None
    bytes: float
    dense_parameters: int
    stored_values: int
    multiplications: int
    additions: int
    requantisations: int
    dense_macs: int
    dense_additions: int
    accumulator_bits: int | None
    kernel_row: KernelRow | None


@dataclass(frozen=True)
class Account:
    """What a program stores and costs. docs/numbers.md defines every field."""

    coefficient_ratio: float
    value_ratio: float
    byte_ratio: float
    file_bytes: int
    header_bytes: float
    dense_bytes: int
    dense_parameters: int
    dense_weights: int
    coefficients: int
    stored_values: int
    multiplications: int
    additions: int
    requantisations: int
    dense_macs: int
    dense_multiplications: int
    dense_additions: int
    kernel_row: KernelRow
    layers: tuple[LayerAccount, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the account as built-in types; the kernel rows with their totals and what is saved."""
        account: dict[str, Any] = msgspec.to_builtins(self)
        account["kernel_row"] |= _totals(self.kernel_row)
        for row, layer in zip(account["layers"], self.layers, strict=True):
            if layer.kernel_row:
                row["kernel_row"] |= _totals(layer.kernel_row)
        return account

    def to_json(self) -> str:
        """Return `to_dict` as JSON text."""
        return msgspec.json.encode(self.to_dict()).decode()

    def table(self) -> Group:
        """Return how each layer is stored, what it costs, the totals, and every ratio with what it divides by what."""
        from horner.program.account_table import render

        return render(self)


def account(program: Program, file: str | os.PathLike[str] | bytes | None = None) -> Account:
    """Count what a program stores and what one inference costs.

    Parameters
    ----------
    file
        The program's file, by path or content, whose size is that of the byte ratio. Without it, the size is that
        of the file which `horner.program.file.save` would write.

    Raises
    ------
    FileError
        When there is no such file, or its size is not that of this program's.

    Examples
    --------
    >>> import numpy as np
    >>> from horner.basis import Axis
    >>> from horner.program.layers import Output
    >>> from horner.program.program import Input
    >>> from horner.program.weights import Positional, constant
    >>> awf = Positional((Axis(6), Axis(1), Axis(5), Axis(5, degree=1)), np.ones((6, 1, 5, 2)), bits=8)
    >>> program = Program(Input((1, 32, 32)), (Conv(0, awf, None, Output(constant(1, 6, 8))),))
    >>> numbers = account(program)
    >>> numbers.coefficient_ratio, numbers.multiplications, numbers.dense_macs
    (2.5, 47040, 117600)
    """
    parts: defaultdict[str, float] = defaultdict(float)
    data = file if isinstance(file, bytes | None) else read_bytes(file, LARGEST_FILE)
    for part, part_bytes in breakdown(program, version_of(data or b"")):
        parts[part.split()[0]] += part_bytes
    size = int(sum(parts.values()))
    if data is not None:
        _expect_size(data, size, "the data" if isinstance(file, bytes) else str(file))
    layers = tuple(
        _of_layer(program, number, name, layer, parts.pop(name, 0.0))
        for number, (name, layer) in enumerate(zip(program.names, program.layers, strict=True))
    )

    def total(name: str) -> int:
        return sum(getattr(layer, name) for layer in layers)

    weights, parameters = sum(math.prod(layer.shape) for layer in layers if layer.shape), total("dense_parameters")
    return Account(
        coefficient_ratio=_ratio(weights, total("coefficients")),
        value_ratio=_ratio(parameters, total("stored_values")),
        byte_ratio=_ratio(FLOAT_BYTES * parameters, size),
        file_bytes=size,
        header_bytes=sum(parts.values()),
        dense_bytes=FLOAT_BYTES * parameters,
        dense_parameters=parameters,
        dense_weights=weights,
        coefficients=total("coefficients"),
        stored_values=total("stored_values"),
        multiplications=total("multiplications"),
        additions=total("additions"),
        requantisations=total("requantisations"),
        dense_macs=total("dense_macs"),
        dense_multiplications=total("dense_macs"),
        dense_additions=total("dense_additions"),
        kernel_row=sum((layer.kernel_row for layer in layers if layer.kernel_row), KernelRow()),
        layers=layers,
    )


def kernel_row(conv: Conv) -> KernelRow:
    """Count the units that compute one kernel row of every filter of a convolution at once.

    Weights that are no polynomials of the column have nothing to share: the reuse array is then Row Stationary.
    """
    filters, _, _, width = conv.weights.shape
    units = filters * width
    coefficients, shared = width, 0
    if isinstance(conv.weights, Positional):
        axis = conv.weights.axes[COL]
        coefficients, shared = axis.coefficients, conv.groups * axis.gather_additions
    return KernelRow(Units(units, units), Units(filters * coefficients, filters * coefficients + shared))


def _expect_size(data: bytes, wanted: int, where: str) -> None:
    """Refuse a file that cannot be the program's."""
    if len(data) != wanted:
        raise FileError(
            f"{where} holds another program: {len(data)} bytes, and this one takes {wanted}; save it there first"
        )


def _of_layer(program: Program, number: int, name: str, layer: Layer, size: float) -> LayerAccount:
    sources, result = [program.values[i] for i in layer.inputs], program.values[number + 1]
    kind = type(layer).__name__
    if not isinstance(layer, Conv):
        counts = _count_other(layer, sources, result, program.integer)
        stored = len(layer.multipliers) + 1 if isinstance(layer, Add | Concat) and program.integer else 0
        other = counts.multiplications, counts.additions, counts.requantisations, 0, counts.additions
        return LayerAccount(name, kind, None, "", "", 0, None, size, 0, stored, *other, None, None)
    weights, (source,) = layer.weights, sources
    schedule = plan(layer, source, result)
    counts, dense = count(layer, source, result, schedule), count(layer, source, result, DENSE)
    slides = weights.shape[COL] > 1 and not program.is_linear(layer)
    return LayerAccount(
        name=name,
        kind=kind,
        shape=weights.shape,
        plan=_plan(weights),
        schedule=str(schedule),
        coefficients=weights.core.size,
        bits=weights.bits,
        bytes=size,
        dense_parameters=math.prod(weights.shape) + weights.shape[0],
        stored_values=_stored(layer) + int(program.integer),
        multiplications=counts.multiplications,
        additions=counts.additions,
        requantisations=counts.requantisations,
        dense_macs=dense.multiplications,
        dense_additions=dense.additions,
        accumulator_bits=accumulator_bits(layer, source, schedule) if program.integer else None,
        kernel_row=kernel_row(layer) if slides else None,
    )


def _count_other(layer: Layer, sources: list[Value], result: Value, integer: bool) -> Counts:
    """Count the additions of means and sums, and the rescaling of joined activations; comparisons are neither."""
    if isinstance(layer, AveragePool | AdaptiveAveragePool):
        _, height, width = sources[0].shape
        rows, columns = layer.windows((height, width))
        elements = sum(stop - start for start, stop, _ in rows) * sum(stop - start for start, stop, _ in columns)
        return Counts(additions=result.shape[0] * (elements - len(rows) * len(columns)))
    if isinstance(layer, Add):
        rescaled = len(sources) * result.size if integer else 0
        return Counts(additions=(len(sources) - 1) * result.size, requantisations=rescaled)
    if isinstance(layer, Concat):
        return Counts(requantisations=result.size if integer else 0)
    return Counts()


def _stored(conv: Conv) -> int:
    """Learned values of a convolution without its right shift: coefficients, levels, biases, multipliers, shifts."""
    tensors = [conv.weights, conv.output.multiplier, *([conv.bias] if conv.bias else [])]
    return sum(tensor.stored + _shifts(tensor) for tensor in tensors)


def _shifts(tensor: Weights) -> int:
    """Family shifts stored: all of them, or none where all are zero."""
    return tensor.shifts.size if tensor.shifts is not None and tensor.shifts.any() else 0


def _plan(weights: Weights) -> str:
    """How the weights are stored, as a plan writes it."""
    if isinstance(weights, Ranked):
        flags = [flag for flag, on in (("per_filter", len(weights.core) > 1), ("zero", weights.zero)) if on]
        return " ".join([f"ranked={weights.curve}/{weights.level_bits}bit", *flags])
    axes = [f"{name}={axis}" for name, axis in zip(AXES, weights.axes, strict=True) if not axis.dense]
    return " ".join(axes) or "dense"


def _ratio(numerator: int, denominator: int) -> float:
    """Return the ratio; 1 where there is nothing to store, and nothing stored."""
    return numerator / denominator if denominator else 1.0


def _totals(row: KernelRow) -> dict[str, float]:
    return {
        "row_stationary_units": row.row_stationary.total,
        "reuse_units": row.reuse.total,
        "saved": row.saved,
    }
