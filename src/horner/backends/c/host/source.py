"""From a program to C for this machine: vectors, fused layers, constants beside the code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from horner.backends.c.host.conv import conv
from horner.backends.c.host.cost import choose
from horner.backends.c.host.isa import Isa
from horner.backends.c.host.layers import Site
from horner.backends.c.host.layers import code as plain
from horner.backends.c.host.parts import ALIGNMENT, Code, Constants
from horner.backends.c.host.work import Work
from horner.backends.c.memory import Buffer, homes, place
from horner.backends.c.render import templates
from horner.backends.c.types import FLOAT, INT8, UINT8
from horner.program.layers import Conv, MaxPool
from horner.program.program import Program

SLACK = 256
"""Bytes that a vector may reach beyond the end of a buffer."""

Choose = Callable[..., Work]


@dataclass(frozen=True, eq=False)
class HostSource:
    """A program in C for one instruction set.

    Parameters
    ----------
    text
        The source of ``horner_run(constants, arena, input, output, n)``.
    constants
        The tables it reads, uint8.
    arena_bytes
        The memory it works in.
    works
        How each convolution is done, by the layer's name.
    """

    text: str
    constants: np.ndarray
    arena_bytes: int
    works: dict[str, Work]


@dataclass(frozen=True)
class _Step:
    """A layer as it is run: its name, what it reads, where it writes (numbers of values), its code, its call."""

    number: int
    name: str
    inputs: tuple[int, ...]
    output: int
    code: Code
    call: str


def generate(program: Program, isa: Isa, select: Choose = choose) -> HostSource:
    """Write a program for an instruction set.

    Parameters
    ----------
    select
        What picks the way a convolution is done: `horner.backends.c.host.cost.choose`, or one of its kind.
    """
    constants = Constants()
    works: dict[str, Work] = {}
    home = homes(program)
    readers = [sum(j in layer.inputs for layer in program.layers) for j in range(len(program.values))]
    steps: list[_Step] = []
    fused: set[int] = set()
    for number, layer in enumerate(program.layers):
        if home[number + 1] != number + 1 or number in fused:
            continue
        name = program.names[number]
        output = number + 1
        if isinstance(layer, Conv):
            pool = _pool(program, number, readers)
            work = select(layer, program.values[layer.source], program.values[number + 1], pool, isa)
            if work.pool is not None:
                fused.add(number + 1)
                output = number + 2
            works[name] = work
            code = conv(work, constants)
            call = f"{name}(constants, arena, {{0}}, {{1}});"
        else:
            site = Site(
                tuple(program.values[j] for j in layer.inputs), program.values[number + 1], program.integer, constants
            )
            code = plain(layer, site)
            holes = ", ".join(f"{{{i}}}" for i in range(len(layer.inputs) + 1))
            call = f"{name}(constants, {holes});"
        inputs = tuple(home[j] for j in layer.inputs)
        steps.append(_Step(number, name, inputs, home[output] if output < len(home) else output, code, call))
    text, arena = _render_all(program, isa, steps, home[-1])
    return HostSource(text, constants.array(), arena, works)


def _pool(program: Program, number: int, readers: Sequence[int]) -> MaxPool | None:
    """The pool right behind a convolution, where it may be done on the convolution's sums."""
    layer = program.layers[number]
    after = program.layers[number + 1] if number + 1 < len(program.layers) else None
    if not (isinstance(layer, Conv) and isinstance(after, MaxPool) and after.source == number + 1):
        return None
    rising = layer.output.multiplier.expand().min() > 0
    plain = after.kernel == after.stride and after.dilation == (1, 1) and not any(after.padding)
    result = program.values[number + 1].shape[1:]
    pooled = program.values[number + 2].shape[1:]
    inside = all(n * k <= m for n, k, m in zip(pooled, after.kernel, result, strict=True))
    few = 1 < math.prod(after.kernel) <= 4
    return after if rising and plain and inside and few and readers[number + 1] == 1 else None


def _render_all(program: Program, isa: Isa, steps: list[_Step], final: int) -> tuple[str, int]:
    T = INT8 if program.integer else FLOAT
    made = {step.output: i for i, step in enumerate(steps)}
    last = {j: i for i, step in enumerate(steps) for j in step.inputs}
    buffers, owners = [], []
    # vectors may reach beyond every buffer, which is why the output is made in one; the input is read exactly
    for value in made:
        length = program.values[value].size * T.bytes + SLACK
        buffers.append(
            _buffer(length, made.get(value, 0), len(steps) if value == final else last.get(value, made.get(value, 0)))
        )
        owners.append(("value", value, ""))
    for i, step in enumerate(steps):
        for store in step.code.stores:
            buffers.append(_buffer(store.bytes + SLACK, i, i))
            owners.append(("store", i, store.name))
    arena = place(buffers)
    values = {0: "input"}
    stores: list[dict[str, int]] = [{} for _ in steps]
    for (kind, number, name), offset in zip(owners, arena.offsets, strict=True):
        if kind == "value":
            values[number] = f"({T} *)(arena + {offset})"
        else:
            stores[number][name] = offset
    body = "\n".join(_layer(step, stores[i], T, isa) for i, step in enumerate(steps))
    size = {"input_size": program.values[0].size, "output_size": program.output.size}
    calls = [step.call.format(*(values[j] for j in step.inputs), values[step.output]) for step in steps]
    calls += [f"memcpy(output, {values[final]}, {size['output_size'] * T.bytes});"]
    text = _render("network.c.jinja", isa=isa, lanes=isa.lanes, body=body, calls=calls, T=T, **size)
    return text, arena.bytes + ALIGNMENT


def _buffer(size: int, first: int, last: int) -> Buffer:
    return Buffer(UINT8, -(-size // ALIGNMENT) * ALIGNMENT, first, last)


def _layer(step: _Step, at: dict[str, int], T: Any, isa: Isa) -> str:
    context = {"name": step.name, "T": T, "at": at, "lanes": isa.lanes, **step.code.context}
    work = context.get("w")
    text = ""
    if isinstance(work, Work) and context.get("gathers_channels"):
        text = _render("channels.c.jinja", **context)
    return _indented(text + "\n" + _render(step.code.template, **context))


def _indented(code: str) -> str:
    """Indent every line by the braces open before it, so that templates need not know how deep they stand."""
    lines, depth = [], 0
    for line in filter(None, map(str.strip, code.splitlines())):
        lines.append("    " * (depth - line.startswith("}")) + line)
        depth += line.count("{") - line.count("}")
    return "\n".join(lines).replace("\n}\n", "\n}\n\n") + "\n"


def _render(template: str, **context: Any) -> str:
    return templates(Path(__file__).parent / "templates").get_template(template).render(**context)
