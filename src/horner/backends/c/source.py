"""From a program to one self-contained C99 source file and its header."""

from __future__ import annotations

import functools
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

import horner.backends.c.layers  # noqa: F401  (registers the kinds of layers)
from horner._files import write_atomic
from horner.backends.c.memory import Arena, Buffer, homes, place
from horner.backends.c.part import Part, Site, part, shape
from horner.backends.c.types import FLOAT, INT8, literals
from horner.errors import ProgramError
from horner.program.program import Program


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


def generate(program: Program, name: str = "network") -> CSource:
    """Write a program as C99 that needs no header but ``stdint.h``, and no heap.

    Parameters
    ----------
    name
        A C identifier; the functions are ``name_run`` and ``name_run_batch``.

    Raises
    ------
    ProgramError
        When `name` is no C identifier.

    Examples
    --------
    >>> from horner.program.layers import MaxPool
    >>> from horner.program.program import Input, Program
    >>> program = Program(Input((1, 4, 4)), (MaxPool(0, (2, 2), (2, 2)),))
    >>> "void tiny_run(const int8_t *input, int8_t *output);" in generate(program, "tiny").header
    True
    """
    source, header, sizes = _network(program, name)
    return CSource(name, source, header, *sizes)


def write(program: Program, directory: str | os.PathLike[str], name: str = "network") -> list[Path]:
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
    generated = generate(program, name)
    example = _render("example.c.jinja", program=program, name=name, **_common(program))
    files = {f"{name}.c": generated.source, f"{name}.h": generated.header, "example.c": example}
    return [write_atomic(Path(directory) / file, text) for file, text in files.items()]


def _network(program: Program, name: str) -> tuple[str, str, tuple[int, int]]:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ProgramError(f"{name!r} cannot name a network in C: use letters, digits and underscores")
    home = homes(program)
    sites = [
        Site(layer_name, tuple(program.values[i] for i in layer.inputs), program.values[number + 1], program.integer)
        for number, (layer_name, layer) in enumerate(zip(program.names, program.layers, strict=True))
    ]
    parts = {i: part(layer, sites[i]) for i, layer in enumerate(program.layers) if home[i + 1] == i + 1}
    arena, values, scratch = _plan_memory(program, home, parts)
    body = "\n".join(_layer(parts[i], sites[i], scratch[i]) for i in parts)
    calls = [
        f"{sites[i].name}({', '.join(values[home[j]] for j in (*program.layers[i].inputs, i + 1))});" for i in parts
    ]
    constant_bytes = sum(table.bytes for p in parts.values() for table in p.tables)
    common = {**_common(program), "program": program, "name": name, "arena": arena, "constant_bytes": constant_bytes}
    source = _render("network.c.jinja", body=body, calls=calls, **common)
    return source, _render("network.h.jinja", **common), (constant_bytes, arena.bytes)


def _plan_memory(
    program: Program, home: list[int], parts: dict[int, Part]
) -> tuple[Arena, dict[int, str], dict[int, dict[str, str]]]:
    """Place what lives in the arena; return the C expressions of all values and, layer by layer, of its scratch."""
    activation = INT8 if program.integer else FLOAT
    last_use = {home[j]: i for i, layer in enumerate(program.layers) for j in layer.inputs}
    kept = [i + 1 for i in parts if i + 1 != home[-1]]
    buffers = [Buffer(activation, program.values[v].size, v - 1, last_use.get(v, v - 1)) for v in kept]
    owners = [(i, scratch) for i, p in parts.items() for scratch in p.scratch]
    buffers += [Buffer(scratch.type, scratch.length, i, i) for i, scratch in owners]
    arena = place(buffers)
    values = {0: "input", home[-1]: "output"} | {v: arena.pointer(number) for number, v in enumerate(kept)}
    pointers: dict[int, dict[str, str]] = {i: {} for i in parts}
    for number, (i, scratch) in enumerate(owners, len(kept)):
        pointers[i][scratch.name] = arena.pointer(number)
    return arena, values, pointers


def _layer(given: Part, site: Site, pointers: dict[str, str]) -> str:
    comment = "\n".join(f" * {line}" for line in (f"{site.name}: {given.notes[0]}", *given.notes[1:]))
    tables = "".join(f"{table}\n\n" for table in given.tables)
    code = _render(
        given.template,
        **given.context,
        name=site.name,
        sources=site.sources,
        result=site.result,
        integer=site.integer,
        T=site.activation,
        tables=given.tables,
        at=pointers,
    )
    return f"/*{comment[2:]}\n */\n{tables}{_indented(code)}"


def _indented(code: str) -> str:
    """Indent every line by the braces open before it, so that templates need not know how deep they stand."""
    lines, depth = [], 0
    for line in map(str.strip, code.splitlines()):
        lines.append("    " * (depth - line.startswith("}")) + line if line else "")
        depth += line.count("{") - line.count("}")
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"\{\n+", "{\n", re.sub(r"\n+( *\})", r"\n\1", "\n".join(lines)))) + "\n"


def _common(program: Program) -> dict[str, Any]:
    return {"integer": program.integer, "T": INT8 if program.integer else FLOAT, "source": program.values[0]}


def _render(template: str, **context: Any) -> str:
    text = _templates().get_template(template).render(**context)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text))


@functools.cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {
        "plus": lambda number: f" {'+' if number > 0 else '-'} {abs(number)}" if number else "",
        "minus": lambda number: f" {'-' if number > 0 else '+'} {abs(number)}" if number else "",
        "times": lambda text, factor: text if factor == 1 else f"{text} * {factor}",
        "at": lambda read, position: re.sub(r" \+ 0\b", "", read % position),
        "finite": math.isfinite,
        "float_literal": lambda number: literals(np.array([number], np.float32))[0],
    }
    environment.globals["shape"] = shape
    return environment
