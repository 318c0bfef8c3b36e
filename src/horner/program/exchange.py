"""A program's weights as plain tensors, for PyTorch and whatever else reads safetensors.

An integer program keeps no real scale of the activations inside it, so its tensors are the exact integers that it
computes with: nothing is scaled, rounded or guessed. docs/exchange.md says what each tensor means.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from safetensors.numpy import save

from horner import __version__
from horner._files import write_atomic
from horner.errors import FileError
from horner.program.integer import INT8_HIGH, INT8_LOW, INT32_HIGH
from horner.program.layers import Add, Concat, Conv, Layer, Output
from horner.program.program import Program
from horner.program.weights import FLOAT_BITS, Ranked

LARGEST = 1 << 28
"""Elements that the tensors of one layer's weights may have."""


def to_tensors(program: Program) -> dict[str, np.ndarray]:
    """Return every layer's parameters under names such as `conv1.weight`.

    Returns
    -------
    dict of str to numpy.ndarray
        For every convolution ``weight`` in PyTorch's shape, ``(out, in / groups, row, col)``, or
        ``(out, in * row * col)`` for a fully connected layer (its input flattened channels first); ``bias`` and
        ``multiplier`` ``(out,)``; ``core`` and, of integer programs, ``shifts`` as stored; ``levels`` of ranked
        weights. Of integer programs also ``requantise``: right shift, zero point, lowest and highest result, for
        these layers and for sums and concatenations, which have a ``multiplier`` for every input; float programs have
        ``clamp``: lowest and highest result. Integers are int32, or int64 where they need it (levels and shifts
        uint8); floats are float32.

    Raises
    ------
    FileError
        When a layer's expanded weights are too large.

    Examples
    --------
    >>> from horner.basis import Axis
    >>> from horner.program.layers import Output
    >>> from horner.program.program import Input
    >>> from horner.program.weights import Positional, constant
    >>> weights = Positional((Axis(1), Axis(3, degree=1), Axis(1), Axis(1)), np.array([5, 2]).reshape(1, 2, 1, 1), 4)
    >>> tensors = to_tensors(Program(Input((3, 1, 1)), (Conv(0, weights, None, Output(constant(1, 1, 2))),)))
    >>> tensors["linear1.weight"].tolist(), tensors["linear1.core"].ravel().tolist()
    ([[3, 5, 7]], [5, 2])
    """
    tensors: dict[str, np.ndarray] = {}
    for name, layer in zip(program.names, program.layers, strict=True):
        parts: dict[str, np.ndarray] = {}
        if isinstance(layer, Conv):
            parts = _conv(name, layer, program.is_linear(layer) and layer.groups == 1)
            output: Output | Add | Concat = layer.output
        elif isinstance(layer, Add | Concat):
            parts = {"multiplier": np.array(layer.multipliers)}
            output = layer
        else:
            continue
        clamp = (INT8_LOW, INT8_HIGH) if isinstance(output, Concat) else (output.low, output.high)
        if program.integer:
            parts["requantise"] = np.array([output.shift, output.zero_point, *clamp], np.int64)
        elif not isinstance(output, Concat):
            parts["clamp"] = np.array(clamp, np.float32)
        tensors |= {f"{name}.{part}": _narrow(values) for part, values in parts.items()}
    return tensors


def save_safetensors(program: Program, path: str | os.PathLike[str]) -> int:
    """Write `to_tensors` to a safetensors file and return its size in bytes.

    The metadata holds the graph: kind, inputs and geometry of every layer; input, output and their scales.

    Raises
    ------
    FileError
        When the file cannot be written, or a layer's expanded weights are too large.
    """
    source = program.input
    metadata = {
        "format": "pt",
        "horner": __version__,
        "arithmetic": source.arithmetic,
        "input": " ".join(map(str, source.shape)),
        "input_scale": repr(source.scale),
        "input_zero_point": str(source.zero_point),
        "output_scale": repr(program.output_scale),
        "head": program.head,
        "layers": "; ".join(
            f"{name} {_describe(layer)}" for name, layer in zip(program.names, program.layers, strict=True)
        ),
    }
    data = save({name: np.ascontiguousarray(values) for name, values in to_tensors(program).items()}, metadata)
    write_atomic(path, data)
    return len(data)


def _conv(name: str, layer: Conv, linear: bool) -> dict[str, np.ndarray]:
    weights = layer.weights
    if np.prod(weights.shape, dtype=float) > LARGEST:
        raise FileError(f"{name}: weights of shape {weights.shape} are too large to write out")
    expanded = weights.expand()
    parts = {
        "weight": expanded.reshape(len(expanded), -1) if linear else expanded,
        "multiplier": layer.output.multiplier.expand(),
        "core": weights.core,
    }
    if layer.bias is not None:
        parts["bias"] = layer.bias.expand()
    if weights.bits != FLOAT_BITS and weights.shifts is not None:
        parts["shifts"] = weights.shifts
    if isinstance(weights, Ranked):
        parts["levels"] = weights.levels
    return parts


def _describe(layer: Layer) -> str:
    """Kind and plain fields of a layer, as `MaxPool source=1 kernel=2,2 stride=2,2`."""
    fields = {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}
    plain = {name: value for name, value in fields.items() if isinstance(value, int | tuple)}
    texts = (f"{n}={','.join(map(str, v)) if isinstance(v, tuple) else int(v)}" for n, v in plain.items())
    return " ".join((type(layer).__name__, *texts))


def _narrow(values: np.ndarray) -> np.ndarray:
    """Integers as int32 where they fit; levels, shifts and floats as they are."""
    fits = values.dtype == np.int64 and np.abs(values).max(initial=0) <= INT32_HIGH
    return values.astype(np.int32) if fits else values
