"""Text from templates: how numbers, sums and indices are written in C."""

from __future__ import annotations

import functools
import math
import re
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from horner._templates import environment
from horner.backends.c.part import shape
from horner.backends.c.types import FLOAT, INT64, CType, literals


def render(template: str, **context: Any) -> str:
    """Fill a template of the folder ``templates``."""
    text = templates(Path(__file__).parent / "templates").get_template(template).render(**context)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text))


def indented(code: str) -> str:
    """Indent every line by the braces open before it, so that templates need not know how deep they stand.

    Blank lines inside braces go; what macros leave is nobody's paragraph.
    """
    lines: list[str] = []
    depth = 0
    for line in map(str.strip, code.splitlines()):
        if line or depth == 0:
            indent = "    " * (depth - line.startswith("}"))
            if depth == 0 and line.startswith("*"):  # a comment goes on
                indent = " "
            if lines and lines[-1].endswith("("):  # a head of two lines
                indent = "    "
            lines.append(indent + line if line else "")
        depth += line.count("{") - line.count("}")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def combine(terms: list[tuple[int, str]], kind: CType) -> str:
    """Write a sum of multiples, additions first.

    >>> from horner.backends.c.types import UINT32
    >>> combine([(-4, "s0"), (2, "s1"), (0, "s2")], UINT32)
    's1 * 2u - s0 * 4u'
    """
    suffix = ".0f" if kind is FLOAT else "u"
    used = sorted((term for term in terms if term[0]), key=lambda term: term[0] < 0)
    if not used:
        return f"0{suffix}"
    text = "" if used[0][0] > 0 else f"0{suffix}"
    for factor, name in used:
        text += " + " if factor > 0 and text else " - " if factor < 0 else ""
        text += name if abs(factor) == 1 else f"{name} * {abs(factor)}{suffix}"
    return text


def less(number: int, kind: CType) -> str:
    """Write the subtraction of a constant, nothing for 0."""
    suffix = ".0f" if kind is FLOAT else "u"
    return f" {'-' if number > 0 else '+'} {abs(number)}{suffix}" if number else ""


def affine(variable: str, step: int, offset: int = 0) -> str:
    """Write ``variable * step + offset``; a variable that is a number is computed with.

    >>> affine("row", 2, -1), affine("row", 1), affine("0", 2, -1)
    ('row * 2 - 1', 'row', '-1')
    """
    if variable.isdigit():
        return str(int(variable) * step + offset)
    text = variable if step == 1 else f"{variable} * {step}"
    return f"{text} {'+' if offset > 0 else '-'} {abs(offset)}" if offset else text


def rounded(value: str, kind: CType, shift: int) -> str:
    """Write a rounding right shift."""
    return f"round{64 if kind is INT64 else 32}({value}, {shift})" if shift else value


@functools.cache
def templates(folder: Path) -> jinja2.Environment:
    """Return the templates of a folder, with the filters that write C."""
    made = environment(folder)
    made.filters |= {
        "plus": lambda number: f" {'+' if number > 0 else '-'} {abs(number)}" if number else "",
        "minus": lambda number: f" {'-' if number > 0 else '+'} {abs(number)}" if number else "",
        "times": lambda text, factor: text if factor == 1 else f"{text} * {factor}",
        "at": lambda read, position: re.sub(r" \+ 0\b", "", read % position),
        "finite": math.isfinite,
        "float_literal": lambda number: literals(np.array([number], np.float32))[0],
        "combine": combine,
        "less": less,
        "affine": affine,
    }
    made.globals |= {"shape": shape, "round": rounded}
    return made
