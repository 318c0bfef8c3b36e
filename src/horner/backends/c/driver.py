"""The function that runs a network: groups one after the other, the rows of each as they become possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from horner.backends.c.network import INPUT, OUTPUT, Network
from horner.backends.c.streaming import Group
from horner.backends.c.streams import Reach


@dataclass(frozen=True)
class Call:
    """A step as the driver calls it.

    Parameters
    ----------
    name
        The function.
    externals
        Those of the caller's buffers that it is given.
    takes_row
        Whether it is given the number of the row.
    rows
        How many rows it makes.
    ready
        The C condition under which it can make its next row.
    """

    name: str
    externals: tuple[str, ...]
    takes_row: bool
    rows: int
    ready: str

    @property
    def counter(self) -> str:
        """The variable that counts its rows."""
        return f"{self.name}_row"

    def call(self, row: str) -> str:
        """Return the C statement that makes a row."""
        arguments = [{INPUT: "input", OUTPUT: "output"}[name] for name in self.externals]
        return f"{self.name}({', '.join(arguments + [row] * self.takes_row)});"


@dataclass(frozen=True)
class Loop:
    """A group as the driver runs it.

    Parameters
    ----------
    steps
        Its steps.
    expand
        Functions called beforehand.
    loop
        The C condition under which it is not done yet; nothing where each step makes all its rows in turn.
    """

    steps: tuple[Call, ...]
    expand: tuple[str, ...]
    loop: str


def loops(network: Network, by_row: Sequence[bool]) -> list[Loop]:
    """Return the groups in order; `by_row` says which steps take the number of the row they make."""
    return [_loop(network, group, by_row) for group in network.groups]


def externals(network: Network, number: int) -> tuple[str, ...]:
    """Return which of the caller's buffers a step is given."""
    item = network.steps[number]
    found = {network.streams[key].place for key in (*(key for key, _, _ in item.reads), item.makes)}
    return tuple(name for name in (INPUT, OUTPUT) if name in found)


def _loop(network: Network, group: Group, by_row: Sequence[bool]) -> Loop:
    members = range(group.start, group.stop)
    read_here = {key for i in members for key, _ in network.nodes[i].reads}
    read_later = {key for node in network.nodes[group.stop :] for key, _ in node.reads}
    ends = [i for i in members if network.nodes[i].makes not in read_here - read_later]
    conditions = [_unfinished(network, i) for i in ends]
    calls = tuple(
        Call(
            network.steps[i].step.name,
            externals(network, i),
            by_row[i],
            network.nodes[i].rows,
            _ready(network, group, i, ends),
        )
        for i in members
    )
    expand = tuple(s.expand for i in members for s in network.steps[i].step.scratch if s.expand)
    return Loop(calls, expand, " || ".join(conditions) if group.streams else "")


def _row(network: Network, number: int) -> str:
    return f"{network.steps[number].step.name}_row"


def _unfinished(network: Network, number: int) -> str:
    return f"{_row(network, number)} < {network.nodes[number].rows}"


def _ready(network: Network, group: Group, number: int, ends: Sequence[int]) -> str:
    node = network.nodes[number]
    makers = {network.nodes[i].makes: i for i in range(group.start, group.stop)}
    # the loop's own condition need not be repeated
    conditions = [] if list(ends) == [number] else [_unfinished(network, number)]
    conditions += [_enough(network, makers[key], number, reach) for key, reach in node.reads if key in makers]
    guards = [
        f"({_unfinished(network, reader)} && {_row(network, number)} < {_stop(network, reader, reach)})"
        for reader, reach in ((found.reader, found.reach) for found in group.guards.get(number, ()))
    ]
    if guards:
        conditions.append(guards[0] if len(guards) == 1 else f"({' || '.join(guards)})")
    return " && ".join(dict.fromkeys(conditions)) or "1"


def _enough(network: Network, maker: int, reader: int, reach: Reach) -> str:
    """Whether the maker has made what the reader's next row needs."""
    made, rows, last = _row(network, maker), network.nodes[maker].rows, network.nodes[reader].rows - 1
    text = f"{made} >= {_stop(network, reader, reach)}"
    clipped = not reach.table and reach.step and reach.stop + last * reach.step > rows
    return f"({text} || {made} == {rows})" if clipped else text


def _stop(network: Network, reader: int, reach: Reach) -> str:
    """The row after the last that the reader's next row needs, not clipped."""
    name, rows = network.steps[reader].step.name, network.nodes[reader].rows
    if reach.table and rows > 1:
        return f"{name}_rows[3 * {_row(network, reader)} + 1]"
    if reach.table or rows == 1 or not reach.step:
        return str(reach(0)[1])
    scaled = _row(network, reader) + (f" * {reach.step}" if reach.step > 1 else "")
    return f"{scaled} {'+' if reach.stop > 0 else '-'} {abs(reach.stop)}" if reach.stop else scaled
