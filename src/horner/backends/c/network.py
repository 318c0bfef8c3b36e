"""From a program to its steps, in order, in groups, with every stream and buffer in its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import horner.backends.c.layers  # noqa: F401  (registers the kinds of layers)
from horner.backends.c import streaming
from horner.backends.c.memory import Arena, Buffer, homes
from horner.backends.c.part import Site, Step, steps
from horner.backends.c.streaming import Group, Node
from horner.backends.c.streams import Reach, Stream, View
from horner.backends.c.targets import Target
from horner.backends.c.types import FLOAT, INT8
from horner.program.layers import Conv, Flatten, MaxPool
from horner.program.program import Program

INPUT, OUTPUT = "image", "scores"
"""What steps call the caller's buffers."""

Key = int | str
"""A stream: the number of a value, or the name of the step that makes it."""


@dataclass(frozen=True)
class Placed:
    """A step in its program.

    Parameters
    ----------
    step, site
        What is done, and where.
    reads
        The streams read, with the shape that the step sees and the rows of the stream that a row needs.
    makes
        The stream made.
    """

    step: Step
    site: Site
    reads: tuple[tuple[Key, tuple[int, int, int], Reach], ...]
    makes: Key


@dataclass(frozen=True)
class Network:
    """A program, laid out.

    Parameters
    ----------
    steps
        Those that the output depends on, in order.
    streams
        What they read and make.
    nodes
        The steps as the order of running depends on them.
    groups
        Which run together.
    arena
        The memory.
    bases
        The C expression of every stream's first element.
    scratch
        For every step, those of its working buffers, by name.
    """

    steps: tuple[Placed, ...]
    streams: dict[Key, Stream]
    nodes: tuple[Node, ...]
    groups: tuple[Group, ...]
    arena: Arena
    bases: dict[Key, str]
    scratch: tuple[dict[str, str], ...]

    def view(self, key: Key, shape: tuple[int, int, int] | None = None) -> View:
        """Return a stream in its place, as one reads it who sees the given shape."""
        stream = self.streams[key]
        rows = next((node.rows for node in self.nodes if node.makes == key), stream.shape[1])
        capacity = next((group.capacity[key] for group in self.groups if key in group.capacity), rows)
        shape = shape or stream.shape
        whole = capacity == rows or shape != stream.shape
        return View(self.bases[key], stream.type, shape, shape[1] if whole else capacity, stream.by_channel)


def lay_out(program: Program, target: Target, place: Callable[[Sequence[Buffer]], Arena]) -> Network:
    """Decide which layers run together and where everything lies.

    Parameters
    ----------
    place
        Gives buffers their places in the arena.
    """
    placed, streams = _steps(program, target)
    whole = frozenset(key for key, stream in streams.items() if stream.by_channel)
    nodes = _nodes(placed, streams, whole)
    row_bytes = {key: 0 if stream.place else stream.row_elements * stream.type.bytes for key, stream in streams.items()}
    scratch = [sum(buffer.bytes for buffer in item.step.scratch) for item in placed]
    groups = tuple(streaming.cut(nodes, row_bytes, scratch, whole))
    group_of = {i: group for group in groups for i in range(group.start, group.stop)}
    last = {key: max(i, *_readers(nodes, key)) for i, node in enumerate(nodes) for key in [node.makes]}
    owners: list[tuple[int | None, Key | str]] = []
    buffers: list[Buffer] = []
    for i, node in enumerate(nodes):
        stream, group = streams[node.makes], group_of[i]
        if not stream.place:
            rows = stream.shape[1] if stream.by_channel else group.capacity[node.makes]
            end = group_of[last[node.makes]].stop - 1
            buffers.append(Buffer(stream.type, stream.row_elements * rows, group.start, end))
            owners.append((None, node.makes))
        for item in placed[i].step.scratch:
            life = (group.start, group.stop - 1) if item.expand else (i, i)
            buffers.append(Buffer(item.type, item.length, *life))
            owners.append((i, item.name))
    arena = place(buffers)
    bases: dict[Key, str] = {key: stream.place for key, stream in streams.items() if stream.place}
    pointers: tuple[dict[str, str], ...] = tuple({} for _ in nodes)
    for number, (owner, name) in enumerate(owners):
        if owner is None:
            bases[name] = arena.pointer(number)
        else:
            pointers[owner][str(name)] = arena.pointer(number)
    return Network(placed, streams, nodes, groups, arena, bases, pointers)


def _steps(program: Program, target: Target) -> tuple[tuple[Placed, ...], dict[Key, Stream]]:
    """The steps that the output depends on, and the streams between them."""
    home = homes(program)
    needed = {home[-1]}
    for number in range(len(program.layers), 0, -1):
        if home[number] == number and number in needed:
            needed |= {home[i] for i in program.layers[number - 1].inputs}
    flattened = {
        home[i + 1]
        for i, layer in enumerate(program.layers)
        if isinstance(layer, Flatten) and home[i + 1] == home[layer.source]
    }
    activation = INT8 if program.integer else FLOAT
    streams: dict[Key, Stream] = {}
    for number in sorted(needed | {0}):
        where = INPUT if number == 0 else OUTPUT if number == home[-1] else ""
        streams[number] = Stream(program.values[number].shape, activation, number in flattened or bool(where), where)
    placed = []
    pools = _pools(program, home, needed)
    for number in set(pools):
        streams.pop(number + 1)
    for i, layer in enumerate(program.layers):
        if home[i + 1] != i + 1 or i + 1 not in needed or i in pools.values():
            continue
        pool = pools.get(i)
        sources = tuple(program.values[j] for j in layer.inputs)
        site = Site(program.names[i], sources, program.values[i + 1], program.integer, target)
        makes = i + 1
        if pool is not None:
            found = program.layers[pool]
            assert isinstance(found, MaxPool)
            site, makes = dataclasses.replace(site, pool=found), pool + 1
        for step in steps(layer, site):
            if step.makes is not None:
                streams[step.name] = step.makes
            reads = []
            for source, reach in zip(step.sources, step.reads, strict=True):
                key: Key = home[layer.inputs[source]] if isinstance(source, int) else source
                shape = program.values[layer.inputs[source]].shape if isinstance(source, int) else streams[key].shape
                if shape != streams[key].shape:  # a flattened map
                    reach = Reach.whole(streams[key].shape[1])
                reads.append((key, shape, reach))
            placed.append(Placed(step, site, tuple(reads), makes if step.makes is None else step.name))
    return tuple(placed), streams


def _pools(program: Program, home: Sequence[int], needed: set[int]) -> dict[int, int]:
    """Which convolution's outputs only one max pool reads, that can take the largest sums before they are rescaled."""
    readers: dict[int, list[int]] = {}
    for j, layer in enumerate(program.layers):
        if home[j + 1] == j + 1 and j + 1 in needed:
            for i in layer.inputs:
                readers.setdefault(home[i], []).append(j)
    found = {}
    for i, conv in enumerate(program.layers):
        read = readers.get(i + 1, [])
        if not isinstance(conv, Conv) or len(read) != 1 or i + 1 == home[-1]:
            continue
        pool = program.layers[read[0]]
        if not isinstance(pool, MaxPool) or pool.source != i + 1:
            continue
        inside = all(
            outputs * k <= length
            for outputs, k, length in zip(
                program.values[read[0] + 1].shape[1:], pool.kernel, program.values[i + 1].shape[1:], strict=True
            )
        )
        plain = pool.kernel == pool.stride and pool.padding == (0, 0) and pool.dilation == (1, 1) and inside
        if plain and conv.output.multiplier.expand().min() >= 0:
            found[i] = read[0]
    return found


def _nodes(placed: Sequence[Placed], streams: dict[Key, Stream], whole: frozenset[Key]) -> tuple[Node, ...]:
    """What each step reads and makes; no rows are made that nobody needs, but one where windows see only padding."""
    rows: dict[Key, int] = {key: streams[key].shape[1] if key in whole else 0 for key in streams}
    nodes = []
    for item in reversed(placed):
        node = Node(tuple((key, reach) for key, _, reach in item.reads), item.makes, rows[item.makes])
        for key, reach in node.reads:
            rows[key] = max(1, rows[key], *(reach(y)[1] for y in range(node.rows)))
        nodes.append(node)
    return tuple(nodes[::-1])


def _readers(nodes: Sequence[Node], key: Key) -> list[int]:
    return [i for i, node in enumerate(nodes) if any(key == read for read, _ in node.reads)] or [-1]
