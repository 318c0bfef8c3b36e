"""From a captured graph to the network that a program will compute: fold, fuse, keep what can be trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.utils import parametrize

from horner.approximation.positional import PositionalWeight
from horner.approximation.ranked import RankedWeight
from horner.basis import Axis
from horner.errors import ModelError
from horner.frontend.graph import (
    AdaptivePooling,
    Addition,
    AveragePooling,
    BatchNorm,
    Clamp,
    Concatenation,
    Convolution,
    Flattening,
    Graph,
    Linear,
    MaxPooling,
    Node,
    Operation,
    Shape,
)
from horner.frontend.network import AddStage, ConcatStage, ConvStage, FlattenStage, PoolStage, QuantisedNetwork, Stage
from horner.frontend.quantisers import Grid
from horner.frontend.tensors import Core, Vector
from horner.plan import LayerPlan

Form: TypeAlias = PositionalWeight | RankedWeight


def lower(model: nn.Module, graph: Graph, plans: Mapping[str, LayerPlan]) -> QuantisedNetwork:
    """Return the network of a captured graph, batch norms folded, with its own copy of every coefficient.

    Parameters
    ----------
    model
        The captured model; where a weight is approximated, its parametrization is what stays trainable.
    plans
        Bits, bias and scale of every convolution and linear layer, by module path.
    """
    return _Lowering(model, graph, plans).network()


class _Lowering:
    def __init__(self, model: nn.Module, graph: Graph, plans: Mapping[str, LayerPlan]) -> None:
        self.model, self.graph, self.plans = model, graph, plans
        self.stages: list[Stage] = []
        self.place = {0: 0}  # value of the graph -> value of the network
        self.flat: set[int] = set()  # values of the graph that are read flattened, but not yet moved
        self.fused: set[int] = set()

    def network(self) -> QuantisedNetwork:
        for number, node in enumerate(self.graph.nodes):
            if number not in self.fused:
                value = number + 1
                if isinstance(node.operation, Flattening):
                    self._alias(value, node.inputs[0], flat=True)
                else:
                    self._lower(value, node)
        last = self._read(len(self.graph.nodes))
        if last != len(self.stages):
            raise ModelError("the network's output is not its last operation; remove what comes after it")
        return QuantisedNetwork(self.graph.input, self.stages, self.graph.head)

    def _lower(self, value: int, node: Node) -> None:
        operation = node.operation
        if isinstance(operation, Convolution | Linear):
            self._convolve(value, node)
        elif isinstance(operation, BatchNorm):
            self._normalise(value, node)
        elif isinstance(operation, Clamp):
            source = node.inputs[0]
            self._emit(value, AddStage([self.place[source]], Grid(operation.low, operation.high)))
            if source in self.flat:  # a clamp does not care about shape
                self.flat.add(value)
        elif isinstance(operation, Addition):
            end, clamp = self._fuse(value, Clamp)
            self._emit(end, AddStage([self._read(i) for i in node.inputs], _grid(clamp)))
        elif isinstance(operation, Concatenation):
            self._emit(value, ConcatStage([self._read(i) for i in node.inputs], Grid()))
        elif isinstance(operation, MaxPooling | AveragePooling | AdaptivePooling):
            self._emit(value, PoolStage(self._read(node.inputs[0]), operation))

    def _convolve(self, value: int, node: Node) -> None:
        module: Any = self.model.get_submodule(node.path)
        plan = self.plans.get(node.path, LayerPlan())
        form, originals = _form(module)
        source, shape = (
            self._linear_source(node, form)
            if isinstance(node.operation, Linear)
            else (
                self._read(node.inputs[0]),
                tuple(module.weight.shape),
            )
        )
        if form is None:
            form = PositionalWeight(tuple(Axis(n) for n in shape), shape)
            originals = (module.weight.detach().reshape(shape),)
        core = Core(form, originals, plan.bits, shape)
        end, norm = self._fuse(value, BatchNorm)
        end, clamp = self._fuse(end, Clamp)
        own = module.bias.detach() if module.bias is not None else None
        scale, bias = _affine(self.model.get_submodule(norm.path), own) if norm else (None, own)
        out = Axis(shape[0])
        geometry = node.operation if isinstance(node.operation, Convolution) else Convolution((1, 1), (0, 0), (1, 1), 1)
        self._emit(
            end,
            ConvStage(
                source,
                _grid(clamp),
                core,
                None
                if bias is None
                else Vector.of(bias, plan.bias.axis(out.length) if plan.bias else out, plan.bias_bits),
                None
                if scale is None
                else Vector.of(scale, plan.scale.axis(out.length) if plan.scale else out, plan.scale_bits),
                geometry.stride,
                geometry.padding,
                geometry.dilation,
                geometry.groups,
            ),
        )

    def _linear_source(self, node: Node, form: Form | None) -> tuple[int, tuple[int, ...]]:
        """Where a linear layer reads, and its weight as (out, channels, rows, columns)."""
        value = node.inputs[0]
        module: Any = self.model.get_submodule(node.path)
        out, features = module.weight.shape
        channels, *size = self._unflattened(value)
        flattened = value in self.flat
        wanted = (
            (form.axes[1].length, form.axes[2].length, form.axes[3].length)
            if isinstance(form, PositionalWeight)
            else None
        )
        if wanted is None or wanted == (channels, *size):
            if flattened or size == [1, 1]:
                return self.place[value], (out, channels, *size)
            raise ModelError(f"{node.path}: a linear layer on a map of shape {(channels, *size)}; flatten it first")
        if wanted == (features, 1, 1):
            return self._read(value), (out, features, 1, 1)
        raise ModelError(
            f"{node.path}: the plan views the {features} inputs as {wanted}, but they are a flattened map of "
            f"{(channels, *size)}; write map={size[0]}x{size[1]}"
        )

    def _normalise(self, value: int, node: Node) -> None:
        """A batch norm that follows no convolution: a depthwise one with weight 1."""
        source = self._read(node.inputs[0])
        channels = node.shape[0]
        scale, bias = _affine(self.model.get_submodule(node.path), None)
        end, clamp = self._fuse(value, Clamp)
        shape = (channels, 1, 1, 1)
        form = PositionalWeight((Axis(channels, degree=0), Axis(1), Axis(1), Axis(1)), shape)
        core = Core(form, (form.right_inverse(torch.ones(shape)),), 2, shape)
        plan = LayerPlan()
        bias_vector, scale_vector = (
            Vector.of(v, Axis(channels), bits) for v, bits in ((bias, plan.bias_bits), (scale, plan.scale_bits))
        )
        self._emit(end, ConvStage(source, _grid(clamp), core, bias_vector, scale_vector, groups=channels))

    def _emit(self, value: int, stage: Stage) -> None:
        self.stages.append(stage)
        self.place[value] = len(self.stages)

    def _alias(self, value: int, source: int, flat: bool) -> None:
        self.place[value] = self.place[source]
        if (flat and self._unflattened(source)[1:] != (1, 1)) or source in self.flat:
            self.flat.add(value)

    def _read(self, value: int) -> int:
        """Return where a value lies, moved into a row first if it is read flattened."""
        if value in self.flat:
            self._emit(value, FlattenStage(self.place[value]))
            self.flat.discard(value)
        return self.place[value]

    def _unflattened(self, value: int) -> Shape:
        """Shape of a value before flattening."""
        while value in self.flat or (value and isinstance(self.graph.nodes[value - 1].operation, Flattening)):
            value = self.graph.nodes[value - 1].inputs[0]
        return self.graph.shape(value)

    def _fuse(self, value: int, kind: type[Operation]) -> tuple[int, Node | None]:
        """Take in the only reader of a value if it is of a kind; return the value that stands for both."""
        readers = self.graph.readers(value)
        if len(readers) == 1 and isinstance(self.graph.nodes[readers[0]].operation, kind):
            self.fused.add(readers[0])
            return readers[0] + 1, self.graph.nodes[readers[0]]
        return value, None


def _form(module: nn.Module) -> tuple[Form | None, tuple[torch.Tensor, ...]]:
    """Return the approximation of a module's weight and what it trains, or None where there is none."""
    if not parametrize.is_parametrized(module, "weight"):
        return None, ()
    chain: Any = module.parametrizations["weight"]  # type: ignore[index]
    form = chain[0]
    if len(chain) != 1 or not isinstance(form, PositionalWeight | RankedWeight):
        return None, ()
    if hasattr(chain, "original"):
        return form, (chain.original,)
    return form, tuple(getattr(chain, f"original{i}") for i in range(chain.ntensors))


def _affine(norm: Any, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and bias with ``norm(y + bias) = (y + new bias) * scale`` in evaluation mode."""
    deviation = torch.sqrt(norm.running_var.double() + norm.eps)
    gain = norm.weight.detach().double() if norm.weight is not None else torch.ones_like(deviation)
    offset = norm.bias.detach().double() if norm.bias is not None else torch.zeros_like(deviation)
    scale = gain / deviation
    # a channel scaled to nothing would need an infinite bias; the least scale that survives rounding does
    least = float(scale.abs().max()) * 2.0**-10 or 1.0
    scale = torch.where(scale.abs() < least, torch.where(scale < 0, -least, least), scale)
    own = bias.double() if bias is not None else 0.0
    return scale.float(), (own - norm.running_mean.double() + offset / scale).float()


def _grid(clamp: Node | None) -> Grid:
    operation = clamp.operation if clamp else Clamp(-math.inf, math.inf)
    assert isinstance(operation, Clamp)
    return Grid(operation.low, operation.high)
