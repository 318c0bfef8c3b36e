"""A captured network: the operations Horner knows, in the order they run, by module path."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Convolution:
    """`torch.nn.Conv2d`, whose weight and bias belong to the module at the node's path."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


@dataclass(frozen=True)
class Linear:
    """`torch.nn.Linear` on a flattened activation."""


@dataclass(frozen=True)
class BatchNorm:
    """`torch.nn.BatchNorm2d` or `BatchNorm1d` with the statistics of training."""

    eps: float


@dataclass(frozen=True)
class Clamp:
    """ReLU and its bounded forms."""

    low: float
    high: float


@dataclass(frozen=True)
class MaxPooling:
    """`torch.nn.MaxPool2d`."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    ceil: bool


@dataclass(frozen=True)
class AveragePooling:
    """`torch.nn.AvgPool2d`."""

    kernel: Pair
    stride: Pair
    padding: Pair
    ceil: bool
    count_padding: bool


@dataclass(frozen=True)
class AdaptivePooling:
    """`torch.nn.AdaptiveAvgPool2d`, or a mean over the map."""

    size: Pair


@dataclass(frozen=True)
class Addition:
    """The sum of two activations."""


@dataclass(frozen=True)
class Concatenation:
    """Channels of several activations, one after the other."""


@dataclass(frozen=True)
class Flattening:
    """A map read as one row of channels."""


Operation = (
    Convolution
    | Linear
    | BatchNorm
    | Clamp
    | MaxPooling
    | AveragePooling
    | AdaptivePooling
    | Addition
    | Concatenation
    | Flattening
)


@dataclass(frozen=True)
class Node:
    """One operation.

    Parameters
    ----------
    operation
        What it does.
    inputs
        The values it reads: 0 is the network's input, ``i + 1`` the result of node ``i``.
    path
        The module it stands in, as `named_modules` spells it.
    shape
        Of its result: (channels, rows, columns), flat results being (channels, 1, 1).
    """

    operation: Operation
    inputs: tuple[int, ...]
    path: str
    shape: Shape


@dataclass(frozen=True)
class Graph:
    """A network as `capture` sees it: its last node is its output, before any softmax."""

    input: Shape
    nodes: tuple[Node, ...]
    head: str = "logits"

    def shape(self, value: int) -> Shape:
        """Return the shape of a value: the input's, or a node's result's."""
        return self.input if value == 0 else self.nodes[value - 1].shape

    def readers(self, value: int) -> tuple[int, ...]:
        """Return the numbers of the nodes that read a value."""
        return tuple(i for i, node in enumerate(self.nodes) if value in node.inputs)
