"""From a captured graph to the network that a program will compute: fold, fuse, keep what can be trained."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from horner.approximation.layers import Form, originals
from horner.approximation.positional import PositionalWeight
from horner.approximation.ranked import RankedWeight
from horner.basis import Axis
from horner.errors import ModelError
from horner.frontend.fold import Norm, fold
from horner.frontend.graph import (
    Addition,
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
from horner.program.weights import FLOAT_BITS

Shape4 = tuple[int, int, int, int]
NO_CLAMP = Clamp(-math.inf, math.inf)


def lower(
    model: nn.Module, graph: Graph, plans: Mapping[str, LayerPlan] | None = None, integer: bool = True
) -> QuantisedNetwork:
    """Return the network of a captured graph, batch norms folded, with its own copy of every coefficient.

    Parameters
    ----------
    model
        The captured model; where a weight is approximated, its parametrization is what stays trainable.
    plans
        Bits, bias and scale of every convolution and linear layer, by module path.
    integer
        Whether the network will be quantised. Batch norms whose filters share coefficients are then folded for the
        least error after rounding; otherwise exactly.
    """
    if integer:
        _check_bits(plans or {})
    return _Lowering(model, graph, plans or {}, integer).network()


class _Lowering:
    def __init__(self, model: nn.Module, graph: Graph, plans: Mapping[str, LayerPlan], integer: bool) -> None:
        self.model, self.graph, self.plans, self.integer = model, graph, plans, integer
        self.stages: list[Stage] = []
        self.place = {0: 0}  # value of the graph -> value of the network, as a map
        self.map: dict[int, Shape] = {0: graph.input}  # its shape as a map, before any flattening
        self.row: dict[int, int] = {}  # value of the graph -> value of the network, as a row of channels
        self.absorbed: set[int] = set()  # nodes that a stage before them computes too

    def network(self) -> QuantisedNetwork:
        for number, node in enumerate(self.graph.nodes):
            if number in self.absorbed or isinstance(node.operation, Flattening):
                self.place[number + 1] = self.place[node.inputs[0]]
                self.map[number + 1] = self.map[node.inputs[0]]
            else:
                self.map[number + 1] = node.shape
                self._lower(number + 1, node)
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
        elif isinstance(operation, Clamp):  # a clamp does not care about shape
            self.map[value] = self.map[node.inputs[0]]
            self._emit(value, AddStage([self.place[node.inputs[0]]], self._grid(value, operation)))
        elif isinstance(operation, Addition):
            self._emit(value, AddStage([self._read(i) for i in node.inputs], self._grid(value)))
        elif isinstance(operation, Concatenation):
            self._emit(value, ConcatStage([self._read(i) for i in node.inputs], Grid(count=math.prod(node.shape))))
        else:
            assert not isinstance(operation, Flattening)
            self._emit(value, PoolStage(self._read(node.inputs[0]), operation))

    def _convolve(self, value: int, node: Node) -> None:
        module: Any = self.model.get_submodule(node.path)
        plan = self.plans.get(node.path, LayerPlan())
        form, trained = _form(module)
        if isinstance(node.operation, Linear):
            source, shape = self._linear_source(node, form)
            geometry = Convolution((1, 1), (0, 0), (1, 1), 1)
        else:
            source, shape = self._read(node.inputs[0]), tuple(module.weight.shape)
            geometry = node.operation  # type: ignore[assignment]
        if form is None:
            form = PositionalWeight(tuple(Axis(n) for n in shape))
            trained = (module.weight.detach().reshape(shape),)
        own = module.bias.detach() if module.bias is not None else None
        norm = self._absorb(value, BatchNorm)
        if norm is None:
            axis = plan.bias.axis(shape[0]) if plan.bias else Axis(shape[0])
            bias, scale = Vector.of(own, axis, plan.bias_bits) if own is not None else None, None
        else:
            assert isinstance(norm.operation, BatchNorm)
            weight = module.weight.detach() if _apart(form) else None
            read = Norm.of(self.model.get_submodule(norm.path), norm.operation.eps)
            folded = fold(read, own, weight, plan, self.integer)
            bias, scale = folded.bias, folded.scale
            if folded.share is not None:
                trained = tuple(t.detach() * folded.share.to(t).reshape(-1, *[1] * (t.ndim - 1)) for t in trained)
        core = Core(form, trained, plan.bits, shape, plan.prune, plan.entropy)
        self._emit(
            value,
            ConvStage(
                source,
                self._grid(value),
                core,
                bias,
                scale,
                geometry.stride,
                geometry.padding,
                geometry.dilation,
                geometry.groups,
            ),
        )

    def _linear_source(self, node: Node, form: Form | None) -> tuple[int, Shape4]:
        """Where a linear layer reads, and its weight as (out, channels, rows, columns)."""
        value = node.inputs[0]
        out, features = self.model.get_submodule(node.path).weight.shape  # type: ignore[misc]
        if self.graph.shape(value) != (features, 1, 1):
            raise ModelError(
                f"{node.path}: a linear layer on a map of shape {self.graph.shape(value)}; flatten it first, or "
                f"write it as a 1x1 convolution"
            )
        channels, rows, columns = self.map[value]
        wanted = form.view[1:] if isinstance(form, PositionalWeight) else (channels, rows, columns)
        if wanted == (channels, rows, columns):
            return self.place[value], (out, channels, rows, columns)
        if wanted == (features, 1, 1):
            return self._read(value), (out, features, 1, 1)
        raise ModelError(
            f"{node.path}: the plan views the {features} inputs as {wanted}, but they are a flattened map of "
            f"{(channels, rows, columns)}; write map={rows}x{columns}"
        )

    def _normalise(self, value: int, node: Node) -> None:
        """A batch norm that follows no convolution: a depthwise one whose weights are its scales."""
        assert isinstance(node.operation, BatchNorm)
        source = self._read(node.inputs[0])
        norm = Norm.of(self.model.get_submodule(node.path), node.operation.eps)
        shape = (len(norm.scale), 1, 1, 1)
        form = PositionalWeight(tuple(Axis(n) for n in shape)).to(norm.scale.device)
        plan = LayerPlan()
        core = Core(form, (norm.scale.reshape(shape),), plan.bits, shape)
        bias = Vector.of(norm.offset - norm.mean * norm.scale, Axis(shape[0]), plan.bias_bits)
        self._emit(value, ConvStage(source, self._grid(value), core, bias, None, groups=shape[0]))

    def _emit(self, value: int, stage: Stage) -> None:
        self.stages.append(stage)
        self.place[value] = len(self.stages)

    def _read(self, value: int) -> int:
        """Return where a value lies in the shape that the graph gives it, moved into a row first if need be."""
        if self.map[value] == self.graph.shape(value):
            return self.place[value]
        if value not in self.row:
            self.stages.append(FlattenStage(self.place[value]))
            self.row[value] = len(self.stages)
        return self.row[value]

    def _grid(self, value: int, clamp: Clamp = NO_CLAMP) -> Grid:
        """Return the grid of a result, with every clamp that directly follows taken in."""
        while (node := self._absorb(value, Clamp)) is not None:
            assert isinstance(node.operation, Clamp)
            low, high = node.operation.low, node.operation.high
            clamp = Clamp(min(max(clamp.low, low), high), max(min(clamp.high, high), low))
        return Grid(clamp.low, clamp.high, math.prod(self.graph.shape(value)))

    def _absorb(self, value: int, kind: type[Operation]) -> Node | None:
        """Mark as computed, and return, the one reader of a value (and of its absorbed readers) if of a kind.

        A clamp is looked for behind max pooling and flattening too: they only choose or move values.
        """
        while True:
            readers = self.graph.readers(value)
            if len(readers) != 1 or value == len(self.graph.nodes):
                return None
            node = self.graph.nodes[readers[0]]
            if isinstance(node.operation, kind) and readers[0] not in self.absorbed:
                self.absorbed.add(readers[0])
                return node
            through = readers[0] in self.absorbed or (
                kind is Clamp and isinstance(node.operation, MaxPooling | Flattening)
            )
            if not through:
                return None
            value = readers[0] + 1


def _form(module: nn.Module) -> tuple[Form | None, tuple[torch.Tensor, ...]]:
    """Return (a copy of) the approximation of a module's weight and what it trains, or None where there is none."""
    if parametrize.is_parametrized(module, "weight"):
        chain: Any = module.parametrizations["weight"]  # type: ignore[index]
        if len(chain) == 1 and isinstance(chain[0], PositionalWeight | RankedWeight):
            return copy.deepcopy(chain[0]).float(), originals(module)
    return None, ()


def _apart(form: Form) -> bool:
    """Whether every filter has coefficients of its own."""
    return form.axes[0].dense if isinstance(form, PositionalWeight) else form.plan.per_filter


def _check_bits(plans: Mapping[str, LayerPlan]) -> None:
    for path, plan in plans.items():
        for key in ("bits", "bias_bits", "scale_bits"):
            if getattr(plan, key) == FLOAT_BITS:
                raise ModelError(
                    f"{path}: {key}={FLOAT_BITS} is float, which an integer program does not hold; give 2 to 16, or "
                    f"ask for a float32 program"
                )
