"""The layers without weights, on the host: plain loops that compilers turn into vectors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from horner.backends.c.host.parts import Code, Constants
from horner.program.layers import AdaptiveAveragePool, Add, AveragePool, Concat, Flatten, Layer, MaxPool, Value


@dataclass(frozen=True)
class Site:
    """A layer's place: the activations read and made, whether they are integers, and where tables go."""

    sources: tuple[Value, ...]
    result: Value
    integer: bool
    constants: Constants

    def code(self, template: str, layer: Layer, **context: Any) -> Code:
        """Return a layer's code, with what all templates want to know."""
        common = {"layer": layer, "sources": self.sources, "source": self.sources[0], "result": self.result}
        return Code(template, {**common, "integer": self.integer, **context})


@functools.singledispatch
def code(layer: Layer, site: Site) -> Code:
    """Return the C of a layer; every kind registers its own."""
    raise TypeError(f"no way to generate {type(layer).__name__}")


@code.register
def _(layer: MaxPool, site: Site) -> Code:
    width, outputs = site.sources[0].shape[2], site.result.shape[2]
    spans = []  # of outputs that a column of the kernel finds inside the map
    for j in range(layer.kernel[1]):
        shift = j * layer.dilation[1] - layer.padding[1]
        first = max(0, -(shift // layer.stride[1]))
        last = min(outputs, (width - 1 - shift) // layer.stride[1] + 1)
        spans.append((first, last, shift))
    least = "-128" if site.integer else "-3.402823466e+38f"
    return site.code("max_pool.c.jinja", layer, spans=spans, least=least)


@code.register(AveragePool)
@code.register(AdaptiveAveragePool)
def _(layer: AveragePool | AdaptiveAveragePool, site: Site) -> Code:
    size = site.sources[0].shape[1:]
    rows, columns = (site.constants.add(np.array(spans, np.int32)) for spans in layer.windows(size))
    zero = site.sources[0].zero_point if site.integer else 0
    return site.code("average_pool.c.jinja", layer, rows=rows, columns=columns, zero=zero)


@code.register
def _(layer: Add, site: Site) -> Code:
    limits = (int(layer.low), int(layer.high)) if site.integer else (layer.low, layer.high)
    return site.code("add.c.jinja", layer, inputs=_inputs(site.sources), low=limits[0], high=limits[1])


@code.register
def _(layer: Concat, site: Site) -> Code:
    return site.code("concat.c.jinja", layer, inputs=_inputs(site.sources))


@code.register
def _(layer: Flatten, site: Site) -> Code:
    return site.code("flatten.c.jinja", layer)


def _inputs(sources: Sequence[Value]) -> list[str]:
    return [f"input{i}" for i in range(len(sources))]
