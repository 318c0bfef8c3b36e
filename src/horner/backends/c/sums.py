"""A polynomial axis as the templates loop over it: runs of equal segments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from horner.basis import Axis, Nodes, gram


@dataclass(frozen=True)
class Run:
    """Equal segments, one after the other.

    Parameters
    ----------
    first
        The run's first position.
    count
        Segments.
    size, terms
        Positions and coefficients of each segment.
    nodes
        How the segment is summed.
    alone
        Whether it is the axis's only run.
    newton
        Whether its coefficients are stored in Newton's basis; else in Gram's.
    """

    first: int
    count: int
    size: int
    terms: int
    nodes: Nodes
    alone: bool = False
    newton: bool = False

    @property
    def open(self) -> str:
        """The head of the C block that handles one segment ``s``; nothing for an axis that is one segment."""
        if self.count > 1:
            return f"for (int32_t s = 0; s < {self.count}; ++s) {{"
        return "" if self.alone else "{"

    @property
    def close(self) -> str:
        """The end of that block."""
        return "}" if self.open else ""

    @property
    def to_newton(self) -> tuple[tuple[int, ...], ...]:
        """The matrix that turns stored coefficients into Newton's; its transpose turns Newton's sums into Gram's.

        >>> Run(0, 1, 5, 3, "index").to_newton
        ((1, -2, 2), (0, 1, -3), (0, 0, 2))
        """
        matrix = np.eye(self.terms, dtype=int) if self.newton or self.terms == 1 else gram(self.size, self.terms)
        return tuple(map(tuple, matrix.tolist()))

    @property
    def basis(self) -> tuple[tuple[int, ...], ...]:
        """What position `t` counts in the sum of every order, the stored basis: ``basis[t][order]``."""
        axis = Axis(self.size, degree=self.terms - 1, nodes=self.nodes)
        return tuple(map(tuple, (axis.matrix @ np.array(self.to_newton)).tolist()))

    def at(self, t: int | str, step: int = 1) -> str:
        """Return the C expression of position `t` of segment ``s``, times `step`.

        >>> Run(0, 5, 4, 2, "index").at("t", 10), Run(20, 1, 3, 2, "index").at(2)
        ('(s * 4 + t) * 10', '22')
        """
        constant = self.first + (t if isinstance(t, int) else 0)
        parts = []
        if self.count > 1:
            parts.append("s" if self.size == 1 else f"s * {self.size}")
        if isinstance(t, str):
            parts.append(t)
        if not parts:
            return str(constant * step)
        if constant:
            parts.append(str(constant))
        text = " + ".join(parts)
        if len(parts) > 1:
            text = f"({text})"
        return text if step == 1 else f"{text} * {step}"


def runs(axis: Axis) -> list[Run]:
    """Cut an axis into its runs; a dense axis is one run of single positions."""
    found, first = [], 0
    for count, size, terms in axis.runs:
        # the nodes 0, 1, 2 are the same in both
        nodes = axis.nodes if size > 3 else "index"
        newton = axis.dense or axis.nodes == "pow2"
        found.append(Run(first, count, size, terms, nodes, len(axis.runs) == 1, newton))
        first += count * size
    return found


def stored_growth(axis: Axis) -> int:
    """Return how many times larger than its inputs a gathered sum can be, in the stored basis.

    >>> stored_growth(Axis(5, degree=2))  # 2, -1, -2, -1, 2; in Newton's it would be 10
    8
    """
    return max(int(np.abs(np.array(run.basis)).sum(0).max()) for run in runs(axis))
