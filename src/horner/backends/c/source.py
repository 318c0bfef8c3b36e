"""From a program to one self-contained C99 source file and its header."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from horner._files import write_atomic
from horner.backends.c import driver
from horner.backends.c.memory import place
from horner.backends.c.network import Network, lay_out
from horner.backends.c.part import Padding
from horner.backends.c.render import indented, render
from horner.backends.c.targets import target as find_target
from horner.backends.c.types import FLOAT, INT8, CType, Table
from horner.errors import ProgramError
from horner.program.program import Program

SIGNATURE = "@signature@"
"""Where a template has its function's head, which depends on what the body uses."""


Helper = tuple[str | int | CType, ...]
"""A function that layers share: what it does, and for which types or sizes."""


@dataclass(frozen=True)
class CSource:
    """A program in C.

    Parameters
    ----------
    name
        Prefix of everything the header declares, and of the files' names.
    source, header
        The text of ``name.c`` and ``name.h``.
    constant_bytes
        Bytes of constant tables, which stay in flash.
    arena_bytes
        Bytes of static memory: all that the network needs, its stack of a few dozen bytes excepted.
    """

    name: str
    source: str
    header: str
    constant_bytes: int
    arena_bytes: int


def generate(program: Program, name: str = "network", target: str = "generic") -> CSource:
    """Write a program as C99 that needs no header but ``stdint.h``, and no heap.

    Parameters
    ----------
    name
        A C identifier; the functions are ``name_init``, ``name_run`` and ``name_run_batch``.
    target
        One of `horner.backends.c.targets.TARGETS`: the results are the same on all, only speed and size differ.

    Raises
    ------
    ProgramError
        When `name` is no C identifier.
    CompileError
        When there is no such target.

    Examples
    --------
    >>> from horner.program.layers import MaxPool
    >>> from horner.program.program import Input, Program
    >>> program = Program(Input((1, 4, 4)), (MaxPool(0, (2, 2), (2, 2)),))
    >>> "void tiny_run(const int8_t *input, int8_t *output);" in generate(program, "tiny").header
    True
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ProgramError(f"{name!r} cannot name a network in C: use letters, digits and underscores")
    machine = find_target(target)
    network = lay_out(program, machine, place)
    shared = _shared(network)
    helpers: dict[str, Helper] = {}
    texts, by_row = zip(*(_step(network, i, helpers) for i in range(len(network.steps))), strict=True)
    tables = [*shared.values(), *(table for item in network.steps for table in item.step.tables)]
    constant_bytes = sum(table.bytes for table in tables)
    common = {
        **_common(program),
        "program": program,
        "name": name,
        "arena": network.arena,
        "constant_bytes": constant_bytes,
        "target": machine,
        "small": machine.small,
    }
    body = "\n".join(texts)
    source = render(
        "network.c.jinja",
        body=body,
        shared=list(shared.values()),
        shared_functions=indented(render("helpers.c.jinja", body=body, helpers=helpers, **common)),
        groups=driver.loops(network, by_row),
        **common,
    )
    return CSource(name, source, render("network.h.jinja", **common), constant_bytes, network.arena.bytes)


def write(
    program: Program, directory: str | os.PathLike[str], name: str = "network", target: str = "generic"
) -> list[Path]:
    """Write ``name.c``, ``name.h`` and ``example.c``, a program that classifies what it reads; return their paths.

    Raises
    ------
    ProgramError
        When `name` is no C identifier, or is `example`.
    FileError
        When a file cannot be written.
    """
    if name == "example":
        raise ProgramError("the network cannot be called 'example': example.c is the program that runs it")
    generated = generate(program, name, target)
    example = render("example.c.jinja", program=program, name=name, **_common(program))
    files = {f"{name}.c": generated.source, f"{name}.h": generated.header, "example.c": example}
    return [write_atomic(Path(directory) / file, text) for file, text in files.items()]


def _shared(network: Network) -> dict[tuple[str, int], Table]:
    """Rows of zeros that layers read outside of their inputs, one for every type and zero point."""
    rows: dict[tuple[str, int], Padding] = {}
    for item in network.steps:
        padding = item.step.padding
        if padding is not None:
            key = (padding.type.name, padding.zero)
            if key not in rows or rows[key].length < padding.length:
                rows[key] = padding
    return {key: Table(_zeros(row), row.type, np.full(row.length, row.zero)) for key, row in rows.items()}


def _zeros(padding: Padding) -> str:
    sign = "m" if padding.zero < 0 else ""
    return f"zeros_{padding.type.member}_{sign}{abs(padding.zero)}"


def _step(network: Network, number: int, helpers: dict[str, Helper]) -> tuple[str, bool]:
    """Write a step, and say whether it takes the number of the row it makes."""
    item = network.steps[number]
    step, site = item.step, item.site

    def helper(kind: str, *about: CType | int) -> str:
        """Name a function that layers share, and remember that it is wanted."""
        names = [str(item) if isinstance(item, int) else item.member for item in about]
        name = "_".join([kind, *names])
        helpers[name] = (kind, *about)
        return name

    inputs = [network.view(key, shape) for key, shape, _ in item.reads]
    output = network.view(item.makes)
    external = {view.base: view.type for view in (*inputs, output)}
    parameters = [
        f"const {external[name]} *{name}" if name == "image" else f"{external[name]} *{name}"
        for name in driver.externals(network, number)
    ]
    row = "row" if output.shape[1] > 1 else "0"
    comment = "\n".join(f" * {line}" for line in (f"{step.name}: {step.notes[0]}", *step.notes[1:]))
    tables = "".join(f"{table}\n\n" for table in step.tables)
    code = render(
        step.template,
        **step.context,
        name=step.name,
        signature=SIGNATURE,
        sources=site.sources,
        integer=site.integer,
        T=site.activation,
        inputs=inputs,
        output=output,
        row=row,
        tables=step.tables,
        at=network.scratch[number],
        zeros=_zeros(step.padding) if step.padding else "",
        helper=helper,
        rolled="HORNER_ROLLED" if site.target.dsp else "",
        unrolled="HORNER_UNROLLED" if site.target.dsp else "",
    )
    by_row = re.search(r"\brow\b", code.split(SIGNATURE)[1]) is not None
    parameters += ["int32_t row"] * by_row
    code = code.replace(SIGNATURE, f"static HORNER_NOINLINE void {step.name}({', '.join(parameters) or 'void'})")
    return f"/*{comment[2:]}\n */\n{tables}{indented(code)}", by_row


def _common(program: Program) -> dict[str, Any]:
    return {"integer": program.integer, "T": INT8 if program.integer else FLOAT, "source": program.values[0]}
