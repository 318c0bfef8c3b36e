"""What one layer gives to the generated source."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from horner.backends.c.streams import Reach, Stream
from horner.backends.c.targets import Target
from horner.backends.c.types import FLOAT, INT8, CType, Table
from horner.program.layers import Layer, MaxPool, Value


@dataclass(frozen=True)
class Site:
    """A layer's place in its program.

    Parameters
    ----------
    name
        The layer's name, a C identifier.
    sources, result
        The activations read, and the layer's own, before a pool.
    integer
        Whether the program computes on integers.
    target
        What the code is for.
    pool
        The max pool that a convolution runs on its way out: windows that do not overlap.
    """

    name: str
    sources: tuple[Value, ...]
    result: Value
    integer: bool
    target: Target
    pool: MaxPool | None = None

    @property
    def activation(self) -> CType:
        """The type of activations."""
        return INT8 if self.integer else FLOAT


@dataclass(frozen=True)
class Scratch:
    """A buffer that a step works in; its memory serves others too.

    Parameters
    ----------
    expand
        The C function that fills it before the step's group runs, where it must last that long.
    """

    name: str
    type: CType
    length: int
    expand: str = ""

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.type.bytes * self.length


@dataclass(frozen=True)
class Padding:
    """A row of padding, all zeros: constants that layers share."""

    type: CType
    zero: int
    length: int


@dataclass(frozen=True)
class Step:
    """A layer, or a part of one, in C: a function that makes one row of a stream.

    Parameters
    ----------
    name
        The function.
    template
        The file under ``templates`` that writes it.
    notes
        Lines of the comment above it.
    reads
        For every stream read, the rows that a row of the result needs.
    sources
        Which: the number of one of the layer's inputs, or the name of a step of the same layer.
    makes
        The stream made where it is not the layer's result.
    context
        What the template wants to know.
    tables
        Its constants.
    scratch
        Its working buffers; the template finds the pointer to each under ``at``, by name.
    padding
        The row of zeros that it reads outside of its input.
    """

    name: str
    template: str
    notes: tuple[str, ...]
    reads: tuple[Reach, ...]
    sources: tuple[int | str, ...]
    makes: Stream | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    scratch: tuple[Scratch, ...] = ()
    padding: Padding | None = None


@functools.singledispatch
def steps(layer: Layer, site: Site) -> tuple[Step, ...]:
    """Return what a layer gives to the source, in order; every kind of layer registers its own."""
    raise TypeError(f"no way to generate {type(layer).__name__}")


def shape(value: Value | Stream) -> str:
    """Write an activation's shape: ``16x10x10``."""
    return "x".join(map(str, value.shape))
