"""A program with rows and columns swapped: kernels lie on their side on the array."""

from __future__ import annotations

import dataclasses
from typing import Any

from horner.program.layers import AdaptiveAveragePool, Conv, Pair
from horner.program.program import Program
from horner.program.weights import Positional, Ranked, Weights


def transposed(program: Program) -> Program:
    """Return a program that gives for transposed images what this one gives for images.

    Every map comes out transposed; an output of one row and column is the same.
    """
    layers = tuple(_layer(layer) for layer in program.layers)
    source = dataclasses.replace(program.input, shape=_swapped(program.input.shape))
    return dataclasses.replace(program, input=source, layers=layers)


def _layer(layer: Any) -> Any:
    if isinstance(layer, Conv):
        return dataclasses.replace(
            layer,
            weights=_weights(layer.weights),
            stride=_pair(layer.stride),
            padding=_pair(layer.padding),
            dilation=_pair(layer.dilation),
        )
    if isinstance(layer, AdaptiveAveragePool):
        return dataclasses.replace(layer, size=_pair(layer.size))
    pairs = {n: _pair(getattr(layer, n)) for n in ("kernel", "stride", "padding", "dilation") if hasattr(layer, n)}
    return dataclasses.replace(layer, **pairs)


def _weights(weights: Weights) -> Weights:
    if isinstance(weights, Ranked):
        return dataclasses.replace(weights, levels=weights.levels.swapaxes(2, 3))
    assert isinstance(weights, Positional)
    assert weights.shifts is not None
    out, inside, row, col = weights.axes
    return Positional((out, inside, col, row), weights.core.swapaxes(2, 3), weights.bits, weights.shifts.swapaxes(2, 3))


def _pair(pair: Pair) -> Pair:
    return pair[1], pair[0]


def _swapped(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    return shape[0], shape[2], shape[1]
