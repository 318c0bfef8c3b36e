"""Read the program off a calibrated network: the integers it simulated, or the real values it trains."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from horner.errors import ModelError
from horner.frontend.graph import AdaptivePooling, AveragePooling, MaxPooling
from horner.frontend.network import AddStage, ConcatStage, ConvStage, FlattenStage, PoolStage, QuantisedNetwork
from horner.frontend.quantisers import LARGEST_RIGHT_SHIFT, MULTIPLIER_BITS, RESCALE_BITS, Grid, rescaled
from horner.program.layers import AdaptiveAveragePool, Add, AveragePool, Concat, Conv, Flatten, Layer, MaxPool, Output
from horner.program.program import Input, Program
from horner.program.weights import FLOAT_BITS, constant


@torch.no_grad()
def freeze(network: QuantisedNetwork, integer: bool = True) -> Program:
    """Return the program that computes what a network does.

    Parameters
    ----------
    network
        Calibrated, when an integer program is wanted.
    integer
        int8 activations and integer coefficients, or float32 throughout.

    Raises
    ------
    ModelError
        When the network has not been calibrated.
    """
    if integer and not network.quantise:
        raise ModelError("calibrate the network on real images before its integers are read off")
    grids = network.grids()
    layers = tuple(
        _layer(stage, [grids[i] for i in stage.sources], grids[number + 1], integer)
        for number, stage in enumerate(network.layers())
    )
    scale, zero = float(network.input.scale), int(network.input.zero_point)
    read = Input(network.shape, scale, zero, network.pixels, "int8" if integer else "float32")
    return Program(read, layers, float(grids[-1].scale) if integer else 1.0, network.head)  # type: ignore[arg-type]


@functools.singledispatch
def _layer(stage: object, sources: Sequence[Grid], grid: Grid, integer: bool) -> Layer:
    raise TypeError(f"no layer stands for {type(stage).__name__}")


@_layer.register
def _(stage: ConvStage, sources: Sequence[Grid], grid: Grid, integer: bool) -> Layer:
    channels = stage.weight.shape[0]
    weights = stage.weight.freeze(integer)
    unit = stage.weight.step * sources[0].scale
    bias = stage.bias.freeze(unit if integer else None)[0] if stage.bias is not None else None
    if not integer:
        multiplier = stage.scale.freeze(None)[0] if stage.scale is not None else constant(1.0, channels, FLOAT_BITS)
        output = Output(multiplier, low=grid.low, high=grid.high)
    else:
        zero, (low, high) = int(grid.zero_point), grid.limits()
        if stage.scale is not None:
            multiplier, shift = stage.scale.freeze(grid.scale / unit, whole=False)
        else:
            (one,), shift = _rescale([unit / grid.scale], MULTIPLIER_BITS)
            multiplier = constant(one, channels, MULTIPLIER_BITS)
        output = Output(multiplier, min(shift, LARGEST_RIGHT_SHIFT), zero, low, high)
    return Conv(stage.sources[0], weights, bias, output, stage.stride, stage.padding, stage.dilation, stage.groups)


@_layer.register
def _(stage: PoolStage, sources: Sequence[Grid], grid: Grid, integer: bool) -> Layer:
    source, pool = stage.sources[0], stage.pooling
    if isinstance(pool, MaxPooling):
        return MaxPool(source, pool.kernel, pool.stride, pool.padding, pool.dilation, pool.ceil)
    if isinstance(pool, AveragePooling):
        return AveragePool(source, pool.kernel, pool.stride, pool.padding, pool.ceil, pool.count_padding)
    assert isinstance(pool, AdaptivePooling)
    return AdaptiveAveragePool(source, pool.size)


@_layer.register
def _(stage: AddStage, sources: Sequence[Grid], grid: Grid, integer: bool) -> Layer:
    if not integer:
        return Add(stage.sources, (1,) * len(sources), low=grid.low, high=grid.high)
    multipliers, shift = _rescale([source.scale / grid.scale for source in sources], RESCALE_BITS)
    return Add(stage.sources, tuple(multipliers), shift, int(grid.zero_point), *grid.limits())


@_layer.register
def _(stage: ConcatStage, sources: Sequence[Grid], grid: Grid, integer: bool) -> Layer:
    if not integer:
        return Concat(stage.sources, (1,) * len(sources))
    multipliers, shift = _rescale([source.scale / grid.scale for source in sources], RESCALE_BITS)
    return Concat(stage.sources, tuple(multipliers), shift, int(grid.zero_point))


@_layer.register
def _(stage: FlattenStage, sources: Sequence[Grid], grid: Grid, integer: bool) -> Layer:
    return Flatten(stage.sources[0])


def _rescale(ratios: Sequence[torch.Tensor], bits: int) -> tuple[list[int], int]:
    multipliers, shift = rescaled(torch.stack(list(ratios)), bits)
    return [int(multiplier) for multiplier in multipliers], shift
