"""What one layer gives to the generated source."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from horner.backends.c.types import FLOAT, INT8, CType, Table
from horner.program.layers import Layer, Value


@dataclass(frozen=True)
class Site:
    """A layer's place in its program.

    Parameters
    ----------
    name
        The layer's name, a C identifier.
    sources, result
        The activations read and made.
    integer
        Whether the program computes on integers.
    """

    name: str
    sources: tuple[Value, ...]
    result: Value
    integer: bool

    @property
    def activation(self) -> CType:
        """The type of activations."""
        return INT8 if self.integer else FLOAT


@dataclass(frozen=True)
class Scratch:
    """A buffer that a layer works in; its memory serves other layers too."""

    name: str
    type: CType
    length: int


@dataclass(frozen=True)
class Part:
    """A layer in C: a function ``name(const activation *input..., activation *output)`` and what it needs.

    Parameters
    ----------
    template
        The file under ``templates`` that writes the function.
    notes
        Lines of the comment above it.
    context
        What the template wants to know.
    tables
        Its constants.
    scratch
        Its working buffers; the template finds the pointer to each under ``at``, by name.
    """

    template: str
    notes: tuple[str, ...]
    context: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    scratch: tuple[Scratch, ...] = ()


@functools.singledispatch
def part(layer: Layer, site: Site) -> Part:
    """Return what a layer gives to the source; every kind of layer registers its own."""
    raise TypeError(f"no way to generate {type(layer).__name__}")


def shape(value: Value) -> str:
    """Write an activation's shape: ``16x10x10``."""
    return "x".join(map(str, value.shape))
