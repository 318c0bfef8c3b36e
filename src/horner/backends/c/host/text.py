"""Pieces of C that are written out step by step: sums over a segment, and the values a segment spreads to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from horner.backends.c.sums import Run
from horner.basis import Axis, Nodes


@dataclass(frozen=True)
class Piece:
    """A segment: its first position and coefficient, its positions, coefficients and nodes."""

    first: int
    coefficient: int
    size: int
    terms: int
    nodes: Nodes


def pieces(axis: Axis) -> list[Piece]:
    """Cut an axis into its segments."""
    found, first, coefficient = [], 0, 0
    for count, size, terms in axis.runs:
        for _ in range(count):
            found.append(Piece(first, coefficient, size, terms, axis.nodes if size > 3 else "index"))
            first, coefficient = first + size, coefficient + terms
    return found


def cascade(piece: Piece, kind: str) -> str:
    """Sum ``x0``, ``x1``, ... into ``s0`` (, ``s1`` (, ``s2``)), highest first.

    >>> print(cascade(Piece(0, 0, 3, 2, "index"), "i16v"))
    i16v s0 = x2, s1 = s0;
    s0 += x1;
    s1 += s0;
    s0 += x0;
    """
    size, terms = piece.size, piece.terms
    lines = [f"{kind} s0 = x{size - 1}" + "".join(f", s{order} = s0" for order in range(1, terms)) + ";"]
    if piece.nodes == "pow2" and terms > 1:
        for t in range(size - 2, 1, -1):
            lines += [f"s0 += x{t};", f"s1 = x{t} + s1 * 2;"]
            lines += [f"s2 = x{t} + s2 * 4;"] if terms > 2 else []
        lines += ["s2 = s2 * 2 - s1;"] if terms > 2 else []
        lines += ["s0 += x1;", "s1 = x1 + s1 * 2;", "s0 += x0;"]
        return "\n".join(lines)
    for t in range(size - 2, -1, -1):
        lines.append(f"s0 += x{t};")
        lines += [f"s{order} += s{order - 1};" for order in range(1, min(terms, t + 1))]
    return "\n".join(lines)


def spread(run: Run, vectors: int, emit: Callable[[Sequence[str]], str]) -> str:
    """Spread ``s0_v`` (, ``s1_v`` (, ``s2_v``)) for all vectors `v`; `emit` writes what happens to each value."""

    def each(statement: str) -> str:
        return "\n".join(statement.replace("@", str(v)) for v in range(vectors))

    def out(value: str = "s0_@") -> str:
        return emit([value.replace("@", str(v)) for v in range(vectors)])

    def loop(first: int, body: str) -> str:
        return f"for (int32_t t = {first}; t < {run.size}; ++t) {{\n{body}\n}}" if first < run.size else ""

    if run.terms == 1:
        return out() if run.size == 1 else loop(0, out())
    if run.nodes == "pow2":
        start = [out(), out("s0_@ + s1_@")]
        if run.terms == 2:
            return "\n".join([*start, loop(2, each("s1_@ *= 2;") + "\n" + out("s0_@ + s1_@"))])
        grown = each("s1_@ = s1_@ * 2 - s2_@;\ns2_@ *= 2;")
        rest = loop(3, each("s1_@ *= 2;\ns2_@ *= 4;") + "\n" + out("s0_@ + s1_@ + s2_@"))
        return "\n".join([*start, grown, out("s0_@ + s1_@ + s2_@"), rest])
    if run.terms == 2:
        return "\n".join([out(), loop(1, each("s0_@ += s1_@;") + "\n" + out())])
    start = [out(), each("s0_@ += s1_@;"), out()]
    return "\n".join([*start, loop(2, each("s1_@ += s2_@;\ns0_@ += s1_@;") + "\n" + out())])


def converted(values: Sequence[str], row: np.ndarray | None, order: int) -> str:
    """Return Newton's coefficient of an order from products with stored ones; `row` is None where they are the same.

    >>> converted(["a", "b"], np.array([1, -3]), 0)
    'a + b * -3'
    """
    if row is None:
        return values[order]
    terms = [
        value if factor == 1 else f"{value} * {factor}" for value, factor in zip(values, row, strict=True) if factor
    ]
    return " + ".join(terms) or "{0}"
