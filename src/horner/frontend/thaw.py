"""From a program back to the network that can be trained: what `horner.frontend.freeze` does, undone."""

from __future__ import annotations

import functools
import math
from collections import defaultdict, deque

import numpy as np
import torch

from horner.approximation.positional import PositionalWeight
from horner.approximation.ranked import RankedWeight
from horner.errors import ModelError
from horner.frontend.graph import AdaptivePooling, AveragePooling, MaxPooling
from horner.frontend.network import AddStage, ConcatStage, ConvStage, FlattenStage, PoolStage, QuantisedNetwork, Stage
from horner.frontend.quantisers import MULTIPLIER_BITS, Grid
from horner.frontend.tensors import Core, Vector
from horner.plan import RankedPlan
from horner.program.integer import INT8_HIGH, INT8_LOW
from horner.program.layers import AdaptiveAveragePool, Add, AveragePool, Concat, Conv, Flatten, Layer, MaxPool
from horner.program.program import Program
from horner.program.weights import Positional, Ranked

ACTIVATION = 2.0**-5
"""Real value of one integer step of an activation that may have any: most of int8 then lies between -4 and 4."""

WITHIN = 1 - 2.0**-20
"""What coefficients are multiplied by, so that rounding puts none beyond the largest, where no gradient passes."""

ROOTS = 8
"""Neighbouring float32 logarithms looked through for the one whose exponential is a given scale."""


def thaw(program: Program) -> QuantisedNetwork:
    """Return the network that a program was frozen from, as good as the program remembers it.

    Freezing it returns the same program (but for the last bit of a multiplier where several concatenations tie the same
    scales), and until it is trained it computes what that does. What a file leaves out makes no difference to that, and
    is set to what trains well: wherever the real scales of activations and weights are free, they are such as a network
    has that was never quantised (Adam, which takes gradients near 1e-8 for none, would not move the biases of one that
    counts in integers). Latent weights lie on their levels; coefficients that were pruned may grow back.

    Parameters
    ----------
    program
        On integers, as `freeze` makes them.

    Raises
    ------
    ModelError
        When it computes on float32, or a sum of it has a multiplier that no scales make.

    Examples
    --------
    >>> from horner.frontend.freeze import freeze
    >>> from horner.program.file import dumps, load
    >>> from horner.zoo import find
    >>> program = load(find("zoo:lenet5"))
    >>> dumps(freeze(thaw(program))) == dumps(program)
    True
    """
    if not program.integer:
        raise ModelError("this program computes on float32; only those on integers can be trained on")
    scales = _scales(program)
    stages = [
        _stage(layer, [scales[i] for i in layer.inputs], _grid(program, number, scales[number + 1]))
        for number, layer in enumerate(program.layers)
    ]
    network = QuantisedNetwork(program.input.shape, stages, program.head)
    network.input.fix_(program.input.scale, program.input.zero_point)
    network.input.log_scale.data.fill_(_log(program.input.scale))
    network.pixels = program.input.pixels
    network.quantise = True
    return network.eval()


def _scales(program: Program) -> list[float]:
    """Return a real scale for every value: those of input and output, what sums tie to others, the usual elsewhere."""
    ties: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for number, (name, layer) in enumerate(zip(program.names, program.layers, strict=True)):
        if isinstance(layer, Conv):
            continue
        for at, source in enumerate(layer.inputs):
            ratio = 1.0  # of the source's scale, to that of the result
            if isinstance(layer, Add | Concat):
                if layer.multipliers[at] <= 0:
                    raise ModelError(f"{name}: the multiplier {layer.multipliers[at]} stands for no ratio of scales")
                ratio = layer.multipliers[at] * 2.0**-layer.shift
            ties[number + 1].append((source, ratio))
            ties[source].append((number + 1, 1 / ratio))
    scales: dict[int, float] = {}
    last = len(program.layers)
    for start, scale in (
        (0, program.input.scale),
        (last, program.output_scale),
        *((i, ACTIVATION) for i in range(last)),
    ):
        if start in scales:
            continue
        scales[start] = scale
        waiting = deque([start])
        while waiting:
            value = waiting.popleft()
            for other, ratio in ties[value]:
                if other not in scales:
                    scales[other] = scales[value] * ratio
                    waiting.append(other)
    return [scales[value] for value in range(last + 1)]


def _grid(program: Program, number: int, scale: float) -> Grid | None:
    """Return the grid of a layer's result, or None where it is that of what the layer reads."""
    layer = program.layers[number]
    if isinstance(layer, Conv):
        zero, low, high = layer.output.zero_point, layer.output.low, layer.output.high
    elif isinstance(layer, Add):
        zero, low, high = layer.zero_point, layer.low, layer.high
    elif isinstance(layer, Concat):
        zero, low, high = layer.zero_point, INT8_LOW, INT8_HIGH
    else:
        return None
    grid = Grid(
        (low - zero) * scale if low > INT8_LOW else -math.inf,
        (high - zero) * scale if high < INT8_HIGH else math.inf,
        program.values[number + 1].size,
    )
    grid.zero_point.fill_(zero)
    grid.log_scale.data.fill_(_log(scale))
    return grid


@functools.singledispatch
def _stage(layer: Layer, scales: list[float], grid: Grid | None) -> Stage:
    raise TypeError(f"no stage stands for {type(layer).__name__}")


@_stage.register
def _(layer: Conv, scales: list[float], grid: Grid | None) -> Stage:
    assert grid is not None
    made = float(torch.exp(grid.log_scale.detach()))
    output = layer.output
    common = output.multiplier.core.size == 1 and output.multiplier.bits == MULTIPLIER_BITS
    one = int(output.multiplier.effective.flat[0]) if common else 0
    if one > 0:  # all channels have one multiplier: that of the scales
        unit, scale = made * one * 2.0**-output.shift, None
    else:
        unit = scales[0] * _usual_step(layer.weights)
        scale = _vector(output.multiplier, 2.0**-output.shift * made / unit)
    core = _core(layer.weights, _log(unit / scales[0]))
    bias = None if layer.bias is None else _vector(layer.bias, unit)
    return ConvStage(layer.source, grid, core, bias, scale, layer.stride, layer.padding, layer.dilation, layer.groups)


@_stage.register
def _(layer: MaxPool, scales: list[float], grid: Grid | None) -> Stage:
    pooling = MaxPooling(layer.kernel, layer.stride, layer.padding, layer.dilation, layer.ceil)
    return PoolStage(layer.source, pooling)


@_stage.register
def _(layer: AveragePool, scales: list[float], grid: Grid | None) -> Stage:
    pooling = AveragePooling(layer.kernel, layer.stride, layer.padding, layer.ceil, layer.count_padding)
    return PoolStage(layer.source, pooling)


@_stage.register
def _(layer: AdaptiveAveragePool, scales: list[float], grid: Grid | None) -> Stage:
    return PoolStage(layer.source, AdaptivePooling(layer.size))


@_stage.register
def _(layer: Add, scales: list[float], grid: Grid | None) -> Stage:
    return AddStage(layer.inputs, grid)


@_stage.register
def _(layer: Concat, scales: list[float], grid: Grid | None) -> Stage:
    return ConcatStage(layer.inputs, grid)


@_stage.register
def _(layer: Flatten, scales: list[float], grid: Grid | None) -> Stage:
    return FlattenStage(layer.source)


def _usual_step(weights: Positional | Ranked) -> float:
    """Return the step that gives weights the size they begin training with (He et al., 2015); a float32."""
    whole = weights.expand().astype(np.float64)
    size = math.sqrt(float((whole**2).mean())) or 1.0
    return float(np.exp(np.float32(math.log(math.sqrt(2 / math.prod(weights.shape[1:])) / size))))


def _core(weights: Positional | Ranked, log_step: float) -> Core:
    step = math.exp(log_step)
    if isinstance(weights, Positional):
        form: PositionalWeight | RankedWeight = PositionalWeight(weights.axes)
        originals: tuple[torch.Tensor, ...] = (form.theta(_real(weights, step)).float(),)
    else:
        used = max(int(weights.levels.max()) + 1, (1 << weights.level_bits - 1) + 1)
        per_filter = len(weights.core) > 1
        plan = RankedPlan(weights.degree, weights.level_bits, per_filter, weights.zero, used=used)
        form = RankedWeight(plan, weights.shape)
        curve = form.theta(_real(weights, step)).float()
        levels = torch.from_numpy(np.array(weights.levels))
        originals = form.settled(torch.zeros(weights.shape), curve, levels)
    core = Core(form, originals, weights.bits, weights.shape)
    core.log_step.data.fill_(log_step)
    assert weights.shifts is not None
    core.shifts.copy_(torch.from_numpy(weights.shifts.astype(np.int64).ravel()))
    return core


def _vector(stored: Positional, unit: float) -> Vector:
    form = PositionalWeight(stored.axes)
    return Vector(form, (form.theta(_real(stored, unit)).float(),), stored.bits, stored.shape)


def _real(stored: Positional | Ranked, unit: float) -> torch.Tensor:
    """Return the coefficients as real numbers, float64, shifts applied."""
    assert stored.shifts is not None
    axes = stored.axes if isinstance(stored, Positional) else (stored.curve,)
    shifts = stored.shifts[np.ix_(*(axis.orders for axis in axes))].astype(np.float64)
    return torch.from_numpy(stored.core * 2.0**shifts * unit * WITHIN)


def _log(scale: float) -> float:
    """Return the float32 logarithm whose exponential is a float32 scale, or comes nearest to it."""
    near = np.float32(math.log(scale))
    logs = [near]
    for direction in (np.float32(-np.inf), np.float32(np.inf)):
        log = near
        for _ in range(ROOTS):
            log = np.nextafter(log, direction)
            logs.append(log)
    found = torch.exp(torch.tensor(np.array(logs))).double() - float(np.float32(scale))
    return float(logs[int(found.abs().argmin())])
