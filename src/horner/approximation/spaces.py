"""Which channels of a network can only be permuted together: every activation's channels belong to *spaces*.

A convolution opens a space; batch norm, pooling and clamps hand it on; a residual addition ties two together;
concatenation puts several side by side; flattening repeats each channel over the map. A space that reaches the
network's input or output is pinned, and so is one that a grouped convolution or a module used twice has to do with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from horner.frontend.graph import BatchNorm, Concatenation, Convolution, Flattening, Graph, Linear, Node


@dataclass
class Space:
    """Channels that can only be permuted together, and everything that moves when they are."""

    size: int
    pinned: bool = False
    outs: list[str] = field(default_factory=list)
    """Modules whose filters make these channels."""
    readers: list[tuple[str, int, int]] = field(default_factory=list)
    """(module, first input channel, positions per channel) of what reads them."""
    norms: list[tuple[str, int, int]] = field(default_factory=list)
    """(batch norm, first channel, positions per channel)."""


def spaces(model: nn.Module, graph: Graph) -> list[Space]:
    """Return the groups of channels of a network that can only move together."""
    return _Tracer(model, graph).trace()


class _Tracer:
    """Follows channels through the graph. A layout is a value's spaces in order, with positions per channel."""

    def __init__(self, model: nn.Module, graph: Graph) -> None:
        self.model, self.graph = model, graph
        self.spaces: list[Space] = []
        self.parent: list[int] = []

    def trace(self) -> list[Space]:
        layouts = [([self._open(self.graph.input[0], pinned=True)], 1)]
        seen: dict[str, int] = {}
        shared = _sharing(self.model)
        for node in self.graph.nodes:
            seen[node.path] = seen.get(node.path, 0) + isinstance(node.operation, Convolution | Linear | BatchNorm)
            layouts.append(self._follow(node, [layouts[i] for i in node.inputs]))
        for number in layouts[-1][0]:
            self.spaces[self._root(number)].pinned = True
        for path, times in seen.items():
            if times > 1 or path in shared:  # its channels cannot move for one of its places alone
                self._pin_module(path)
        return [space for i, space in enumerate(self.spaces) if self._root(i) == i]

    def _follow(self, node: Node, layouts: list[tuple[list[int], int]]) -> tuple[list[int], int]:
        spaces, positions = layouts[0]
        operation = node.operation
        if isinstance(operation, Convolution | Linear):
            return self._convolve(node, spaces, positions), 1
        if isinstance(operation, BatchNorm):
            first = 0
            for number in spaces:
                self._space(number).norms.append((node.path, first, positions))
                first += self._space(number).size
            return spaces, positions
        if isinstance(operation, Concatenation):
            if len({p for _, p in layouts}) > 1:
                self._pin([number for numbers, _ in layouts for number in numbers])
            return [number for numbers, _ in layouts for number in numbers], positions
        if isinstance(operation, Flattening):
            _, rows, columns = self.graph.shape(node.inputs[0])
            return spaces, positions * rows * columns
        for others, _ in layouts[1:]:  # an addition; pooling and clamps have one input
            self._tie(spaces, others)
        return spaces, positions

    def _convolve(self, node: Node, spaces: list[int], positions: int) -> list[int]:
        operation, weight = node.operation, owner(self.model, node.path).weight
        groups = operation.groups if isinstance(operation, Convolution) else 1
        out = len(weight)
        if groups > 1 and groups == out == sum(self._space(number).size for number in spaces) and len(spaces) == 1:
            self._space(spaces[0]).outs.append(node.path)  # depthwise: filters move with the channels they read
            return spaces
        if groups > 1:
            self._pin(spaces)
            return [self._open(out, pinned=True)]
        first = 0
        for number in spaces:
            self._space(number).readers.append((node.path, first, positions))
            first += self._space(number).size
        number = self._open(out)
        self._space(number).outs.append(node.path)
        return [number]

    def _open(self, size: int, pinned: bool = False) -> int:
        self.spaces.append(Space(size, pinned))
        self.parent.append(len(self.parent))
        return len(self.parent) - 1

    def _root(self, number: int) -> int:
        while self.parent[number] != number:
            number = self.parent[number]
        return number

    def _space(self, number: int) -> Space:
        return self.spaces[self._root(number)]

    def _pin(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._space(number).pinned = True

    def _pin_module(self, path: str) -> None:
        for i, space in enumerate(self.spaces):
            if self._root(i) == i and path in [
                *space.outs,
                *(r[0] for r in space.readers),
                *(n[0] for n in space.norms),
            ]:
                space.pinned = True

    def _tie(self, ones: list[int], others: list[int]) -> None:
        sizes = [[self._space(number).size for number in numbers] for numbers in (ones, others)]
        if sizes[0] != sizes[1]:
            self._pin([*ones, *others])
            return
        for one, other in zip(ones, others, strict=True):
            a, b = self._root(one), self._root(other)
            if a != b:
                kept, gone = self.spaces[a], self.spaces[b]
                kept.pinned |= gone.pinned
                kept.outs += gone.outs
                kept.readers += gone.readers
                kept.norms += gone.norms
                self.parent[b] = a


def owner(model: nn.Module, path: str) -> Any:
    """Return the module at a path; its tensors are what is permuted."""
    return model.get_submodule(path)


def _sharing(model: nn.Module) -> set[str]:
    """Return the modules that share a parameter with another one."""
    owners: dict[int, set[str]] = {}
    for path, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), set()).add(path)
    return {path for paths in owners.values() if len(paths) > 1 for path in paths}
