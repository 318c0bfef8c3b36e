"""Which layers run together row by row, in what order, and how many rows of every stream are alive at once.

Layers that run together form a group. Within one, the latest layer that has the rows it needs makes its next row;
when none has, the first layer makes one more. What one group leaves to another is stored whole.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from horner.backends.c.streams import Reach

LONGEST = 48
"""Layers of a group at most: the rings of more are hardly ever less than one map, and looking takes time."""


@dataclass(frozen=True)
class Node:
    """What the order depends on of a layer.

    Parameters
    ----------
    reads
        The streams read, and which rows of them.
    makes
        The stream made.
    rows
        How many rows of it are made: those that somebody needs.
    """

    reads: tuple[tuple[Any, Reach], ...]
    makes: Any
    rows: int


@dataclass(frozen=True)
class Guard:
    """A reader that must want a row before it is made: its number, and what it needs."""

    reader: int
    reach: Reach


@dataclass(frozen=True)
class Group:
    """Layers that run together.

    Parameters
    ----------
    start, stop
        Their numbers.
    capacity
        Rows stored at once of every stream made here: those that others read later are whole.
    guards
        For every layer that reads nothing made here, the readers that must want its next row, one at least; the
        first layer needs none.
    streams
        Whether layers take turns; else each makes all its rows before the next one starts.
    """

    start: int
    stop: int
    capacity: dict[Any, int]
    guards: dict[int, tuple[Guard, ...]]
    streams: bool = False


def group(nodes: Sequence[Node], start: int, stop: int, kept: frozenset[Any]) -> Group:
    """Run layers `start` to `stop` in their heads.

    Parameters
    ----------
    kept
        Streams that others than these layers read, or that must be whole for another reason.
    """
    members = range(start, stop)
    producer = {nodes[i].makes: i for i in members}
    readers: dict[int, list[Guard]] = {i: [] for i in members}
    for i in members:
        for stream, reach in nodes[i].reads:
            if stream in producer:
                readers[producer[stream]].append(Guard(i, reach))
    guards = {i: tuple(readers[i]) for i in members if i > start and not any(s in producer for s, _ in nodes[i].reads)}
    made = dict.fromkeys(members, 0)
    capacity = {nodes[i].makes: nodes[i].rows if nodes[i].makes in kept else 1 for i in members}

    def able(i: int) -> bool:
        row = made[i]
        if row == nodes[i].rows:
            return False
        if any(s in producer and made[producer[s]] < reach(row)[1] for s, reach in nodes[i].reads):
            return False
        return not guards.get(i) or any(_wants(guard, made, nodes) > row for guard in guards[i])

    latest, before, streams = stop - 1, start, False
    while any(made[i] < nodes[i].rows for i in members):
        i = next(i for i in range(latest, start - 1, -1) if able(i))
        streams, before = streams or i < before, i
        stream = nodes[i].makes
        if stream not in kept:
            wanted = [
                guard.reach(made[guard.reader])[0]
                for guard in readers[i]
                if made[guard.reader] < nodes[guard.reader].rows
            ]
            capacity[stream] = max(capacity[stream], made[i] - min(wanted, default=made[i]) + 1)
        made[i] += 1
        latest = max((guard.reader for guard in readers[i]), default=i)  # none behind has got anything new
    return Group(start, stop, capacity, guards, streams)


def cut(nodes: Sequence[Node], row_bytes: dict[Any, int], scratch: Sequence[int], whole: frozenset[Any]) -> list[Group]:
    """Cut a network into the groups that need the least memory at once, as few as that allows.

    A few rows of a stream are less than all of them, but all streams of a group are alive at once; what is stored
    whole between two groups is alive alone.

    Parameters
    ----------
    row_bytes
        Of one row of every stream, 0 where it lies outside of the arena.
    scratch
        Bytes that every layer works in.
    whole
        Streams that are stored whole wherever the cuts are.
    """
    number = len(nodes)
    maker = {node.makes: i for i, node in enumerate(nodes)}
    last = {stream: i for i, node in enumerate(nodes) for stream, _ in node.reads}
    size = {node.makes: node.rows * row_bytes[node.makes] for node in nodes}
    tallest = {node.makes: 1 for node in nodes}
    for node in nodes:
        for stream, reach in node.reads:
            if stream in tallest:
                rows = max((stop - first for first, stop in map(reach, range(node.rows))), default=1)
                tallest[stream] = max(tallest[stream], rows)

    def kept(start: int, stop: int) -> frozenset[Any]:
        made = [nodes[i].makes for i in range(start, stop)]
        return frozenset(s for s in made if s in whole or last.get(s, number) >= stop)

    @functools.cache
    def passing(start: int) -> int:
        return sum(size[s] for s in size if maker[s] < start <= last.get(s, -1))

    def least(start: int, stop: int) -> int:
        """No fewer bytes than this, without running anything."""
        full = kept(start, stop)
        made = [nodes[i] for i in range(start, stop)]
        rows = [node.rows if node.makes in full else tallest[node.makes] for node in made]
        rings = sum(n * row_bytes[node.makes] for n, node in zip(rows, made, strict=True))
        return passing(start) + rings + max(scratch[start:stop])

    # best[j]: the fewest bytes for the layers before j, with their number of groups, and where the last one starts
    best: list[tuple[int, int, int]] = [(0, 0, 0)]
    found: dict[tuple[int, int], Group] = {}
    for stop in range(1, number + 1):
        choice: tuple[int, int, int] | None = None
        for start in range(stop - 1, max(stop - LONGEST, 0) - 1, -1):
            before, groups, _ = best[start]
            if choice and (max(before, least(start, stop)), groups + 1) >= choice[:2]:
                continue
            candidate = group(nodes, start, stop, kept(start, stop))
            rings = sum(rows * row_bytes[stream] for stream, rows in candidate.capacity.items())
            total = passing(start) + rings + max(scratch[start:stop])
            offered = (max(before, total), groups + 1, start)
            if choice is None or offered < choice:
                choice, found[start, stop] = offered, candidate
        assert choice is not None
        best.append(choice)
    groups_backwards, stop = [], number
    while stop:
        start = best[stop][2]
        groups_backwards.append(found[start, stop])
        stop = start
    return groups_backwards[::-1]


def _wants(guard: Guard, made: dict[int, int], nodes: Sequence[Node]) -> int:
    row = made[guard.reader]
    return guard.reach(row)[1] if row < nodes[guard.reader].rows else 0
