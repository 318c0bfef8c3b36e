"""What a program asks of an array: a shape for every convolution and fully connected layer."""

from __future__ import annotations

import numpy as np

from horner.backends.reference import trace
from horner.errors import ArchitectureError
from horner.hardware.shape import ConvShape, Core
from horner.program.layers import Conv, Value
from horner.program.program import Program
from horner.program.schedule import COL, IN, OUT, ROW, Schedule, possible
from horner.program.weights import Positional


def shapes(program: Program, images: np.ndarray | None = None) -> dict[str, list[ConvShape]]:
    """Return the ways in which an array may compute each layer: densely first, then with every choice of reused sums.

    Weights by rank are dense to an array: their levels share sums of no window.

    Parameters
    ----------
    images
        As the program reads them, for the share of zeros among activations; none are taken to be zero without.

    Raises
    ------
    ArchitectureError
        For a layer that strides differently along rows and columns, or whose kernel is dilated.
    """
    zeros = _zeros(program, images) if images is not None else [0.0] * len(program.values)
    found: dict[str, list[ConvShape]] = {}
    for number, (name, layer) in enumerate(zip(program.names, program.layers, strict=True)):
        if isinstance(layer, Conv):
            source, result = program.values[layer.inputs[0]], program.values[number + 1]
            of_layer = zeros[layer.inputs[0]], zeros[number + 1]
            found[name] = [_shape(name, layer, source, result, s, of_layer) for s in possible(layer) if not s.by_level]
    return found


def _shape(
    name: str, conv: Conv, source: Value, result: Value, schedule: Schedule, zeros: tuple[float, float]
) -> ConvShape:
    if conv.stride[0] != conv.stride[1]:
        raise ArchitectureError(f"{name}: stride {conv.stride}; an array strides alike along rows and columns")
    if conv.dilation != (1, 1):
        raise ArchitectureError(f"{name}: dilation {conv.dilation}; an array reads neighbouring rows and columns")
    filters, _, rows, columns = conv.weights.shape
    channels, height, width = source.shape
    return ConvShape(
        name=name,
        filters=filters,
        channels=channels,
        kernel=(rows, columns),
        size=(height, width),
        stride=conv.stride[0],
        padding=conv.padding,
        groups=conv.groups,
        zeros_in=zeros[0],
        zeros_out=zeros[1],
        reuse=_core(conv, schedule) if schedule.reused else None,
    )


def _core(conv: Conv, schedule: Schedule) -> Core:
    assert isinstance(conv.weights, Positional)
    axes = conv.weights.axes
    lengths = [axes[i].coefficients if i in schedule.kept else axes[i].length for i in range(4)]
    additions = [axes[i].gather_additions if i in schedule.kept else 0 for i in (IN, ROW, COL)]
    return Core(
        filters=lengths[OUT],
        channels=lengths[IN],
        kernel=(lengths[ROW], lengths[COL]),
        terms=axes[IN].runs[0][2] if IN in schedule.kept else 1,
        gathers=(additions[0], additions[1], additions[2]),
        spread=axes[OUT].spread_additions if OUT in schedule.kept else 0,
    )


def _zeros(program: Program, images: np.ndarray) -> list[float]:
    """Return the share of zeros in the input and in every layer's output."""
    values = [program.quantise(images), *trace(program, images)]
    return [float((value == of.zero_point).mean()) for value, of in zip(values, program.values, strict=True)]
