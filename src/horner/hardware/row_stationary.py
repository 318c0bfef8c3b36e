"""The Row Stationary dataflow (Chen et al., JSSC 2017): its mappings, their limits, what they cost, the best one.

A PE convolves one row of the filter with one row of the input. A *set* of R x e PEs computes e rows of the output, for
p filters and q channels; the array holds r sets of other channels and t sets of other filters at a time. One *pass*
takes n images; the buffer keeps partial sums of m filters until all channels are added up.

An array that reuses sums is the same array with gather units between buffer and PEs, and a spread unit behind the
partial sums: what is cut and multiplied is then the core of the layer, rows and columns of gathered sums.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from horner.errors import ArchitectureError
from horner.hardware.architecture import Architecture
from horner.hardware.coding import coded_ratio
from horner.hardware.cost import Accesses, Cycles, LayerCost
from horner.hardware.shape import ConvShape, Core

RF_PER_MAC = 4
"""Of the scratchpads: a weight and a pixel read, a partial sum read and written."""

RF_PER_ADDITION = 3
"""Of the registers in gather and spread units: two sums read, one written."""

REMEMBERED = 1024
"""Layers that are not searched again: networks repeat theirs."""


@dataclass(frozen=True)
class Mapping:
    """How a layer is cut, in the letters of the paper's Table III.

    Parameters
    ----------
    m
        Filters whose partial sums the buffer keeps.
    n
        Images of a pass.
    e
        Rows of the output that a set computes.
    p, q
        Filters and channels that a PE takes in turn.
    r, t
        Sets side by side that take other channels, and other filters.
    """

    m: int
    n: int
    e: int
    p: int
    q: int
    r: int
    t: int


def sets(arch: Architecture, rows: int, e: int) -> int:
    """Return how many sets of `rows` x `e` PEs fit; one wider than the array is folded."""
    bands = arch.rows // rows
    return bands * (arch.columns // e) if e <= arch.columns else bands // -(-e // arch.columns)


def buffer_words(shape: ConvShape, mapping: Mapping) -> tuple[int, int]:
    """Return the words that feature maps and partial sums of a mapping take in the buffer.

    >>> conv2 = ConvShape(name="c", filters=256, channels=96, kernel=(5, 5), size=(27, 27), padding=(2, 2), groups=2)
    >>> [round(2 * words / 1024, 1) for words in buffer_words(conv2, Mapping(64, 1, 27, 16, 2, 1, 1))]
    [3.8, 91.1]
    """
    channels = math.ceil(min(mapping.q * mapping.r, shape.core.channels) * shape.pixels_per_channel)
    ifmap = channels * mapping.n * shape.rows_read(mapping.e) * shape.columns_read
    return ifmap, mapping.m * mapping.n * mapping.e * shape.outputs[1]


def check(shape: ConvShape, arch: Architecture, mapping: Mapping, batch: int) -> None:
    """Raise an `ArchitectureError` that names the limit which a mapping exceeds."""
    core, pad = shape.core, arch.scratchpad
    (rows, columns), filters = core.kernel, core.filters // shape.groups
    if not _whole_segments(core, mapping.q * mapping.r):
        raise ArchitectureError(
            f"{shape.name}: q r = {mapping.q * mapping.r} of mapping {mapping} is no multiple of {core.terms}, the "
            "sums of a segment of channels"
        )
    limits = [
        ("r t sets", mapping.r * mapping.t, f"the array of {arch.rows}x{arch.columns}", sets(arch, rows, mapping.e)),
        ("p q S", mapping.p * mapping.q * columns, "scratchpad.filter", pad.filter),
        ("q S", mapping.q * columns, "scratchpad.ifmap", pad.ifmap),
        ("p", mapping.p, "scratchpad.psum", pad.psum),
        ("ifmap and psum words", sum(buffer_words(shape, mapping)), "the global buffer", arch.buffer_words),
        ("m", mapping.m, "the layer's filters per group", filters),
        ("n", mapping.n, "the batch", batch),
        ("e", mapping.e, "the output's rows", shape.outputs[0]),
    ]
    for what, value, of, most in limits:
        if value > most:
            raise ArchitectureError(f"{shape.name}: {what} = {value} of mapping {mapping} exceeds {most}, {of}")


def cost(shape: ConvShape, arch: Architecture, mapping: Mapping, batch: int = 1) -> LayerCost:
    """Return what a layer costs under a mapping.

    Raises
    ------
    ArchitectureError
        When the mapping exceeds a limit.
    """
    check(shape, arch, mapping, batch)
    core, groups, (height, width) = shape.core, shape.groups, shape.outputs
    kernel_rows, kernel_columns = core.kernel
    filters, channels = core.filters // groups, core.channels
    strips = _pieces(height, mapping.e)
    image_parts = _pieces(batch, mapping.n)
    channel_parts = _pieces(channels, mapping.q * mapping.r)
    filter_parts = [part for kept in _pieces(filters, mapping.m) for part in _pieces(kept, mapping.p * mapping.t)]

    # A PE takes its filters and channels in turn. Every partial sum costs its multiply-accumulates, and one more cycle
    # of the adder, which takes up what the PE below has summed.
    turns = sum(-(-part // mapping.t) for part in filter_parts)
    steps = sum(-(-part // mapping.r) * kernel_columns + 1 for part in channel_parts)
    processing = groups * batch * turns * width * steps * len(strips)

    rows_read = sum(shape.rows_read(rows) for rows in strips)
    pixels = batch * shape.channels * rows_read * shape.columns_read
    sums = batch * core.filters * height * width
    outputs = batch * shape.filters * height * width
    buffer_pixels = pixels * len(filter_parts)
    buffer_sums = 2 * sums * len(channel_parts)

    dram_filters = shape.coefficients * len(image_parts) * len(strips)
    inside = sum(_inside(shape, strips))
    dram_pixels = batch * shape.channels * inside * shape.size[1] * len(_pieces(filters, mapping.m))
    coded = dram_pixels * coded_ratio(shape.zeros_in) + outputs * coded_ratio(shape.zeros_out)

    # gathered anew for every pass: over channels where pixels leave the buffer, then over rows, then over columns
    by_channel, by_row, by_column = core.gathers
    gathered = batch * groups * channels
    additions = batch * groups * rows_read * shape.columns_read * by_channel
    additions += gathered * height * shape.columns_read * by_row
    additions += gathered * (kernel_rows * height) * width * by_column
    additions = additions * len(filter_parts) + batch * height * width * core.spread

    used_sets = sum(min(mapping.t, part) for part in filter_parts)
    per_row = width * kernel_columns if by_column else shape.columns_read
    to_pes = shape.coefficients * len(image_parts) * height
    to_pes += gathered * per_row * kernel_rows * height * used_sets
    hops = sum(kernel_rows * min(mapping.r, part) - 1 for part in channel_parts)
    macs = batch * shape.macs
    accesses = Accesses(
        register_file=RF_PER_MAC * macs + RF_PER_ADDITION * additions + to_pes,
        inter_pe=to_pes + sums * hops + buffer_sums,
        buffer=buffer_pixels + buffer_sums,
        dram=dram_filters + coded,
    )
    first = buffer_words(shape, mapping)[0] + min(mapping.p * mapping.t, filters) * min(
        mapping.q * mapping.r, channels
    ) * (kernel_rows * kernel_columns)
    cycles = Cycles(
        processing,
        round(accesses.buffer / arch.bandwidth.buffer),
        round(accesses.dram / arch.bandwidth.dram),
        round(first / arch.bandwidth.dram),
    )
    active = kernel_rows * mapping.e * mapping.r * mapping.t
    uncoded = dram_filters + dram_pixels + outputs
    return LayerCost(shape.name, macs, active, cycles, accesses, uncoded, dict(vars(mapping)), additions)


def mappings(shape: ConvShape, arch: Architecture, batch: int = 1) -> Iterator[Mapping]:
    """Yield the legal mappings worth a look: none of them wastes what it could keep at no price.

    Raises
    ------
    ArchitectureError
        When the array cannot do the layer at all.
    """
    core, pad = shape.core, arch.scratchpad
    rows, columns = core.kernel
    for name, wanted, of, most in (
        ("rows", rows, "rows", arch.rows),
        ("columns", columns, "scratchpad.ifmap", pad.ifmap),
        ("columns", columns, "scratchpad.filter", pad.filter),
    ):
        if wanted > most:
            raise ArchitectureError(
                f"{shape.name}: a kernel of {wanted} {name} does not fit the array's {of} = {most}; enlarge it"
            )
    filters, channels = core.filters // shape.groups, core.channels
    images = [n for n in range(1, batch + 1) if n == -(-batch // -(-batch // n))]
    for e in _even(shape.outputs[0]):
        room = sets(arch, rows, e)
        for r in range(1, min(room, channels) + 1):
            for q in _even(-(-channels // r), min(pad.ifmap, pad.filter) // columns):
                if not _whole_segments(core, q * r):
                    continue
                for t in range(1, min(room // r, filters) + 1):
                    p = _even(-(-filters // t), min(pad.psum, pad.filter // (q * columns)))[-1]
                    for n in images:
                        if m := _most_filters(shape, arch, e, p, q, r, t, n):
                            yield Mapping(m, n, e, p, q, r, t)


def search(shape: ConvShape, arch: Architecture, batch: int = 1) -> LayerCost:
    """Return the legal mapping of least energy times time, and what it costs.

    Raises
    ------
    ArchitectureError
        When there is none.
    """
    return dataclasses.replace(_search(shape, arch, batch), name=shape.name)


@functools.lru_cache(maxsize=REMEMBERED)
def _search(shape: ConvShape, arch: Architecture, batch: int) -> LayerCost:
    best = min(
        (cost(shape, arch, mapping, batch) for mapping in mappings(shape, arch, batch)), key=merit(arch), default=None
    )
    if best is None:
        raise ArchitectureError(
            f"{shape.name}: one row of {shape.outputs[1]} partial sums and the input rows it needs exceed "
            f"buffer.kilobytes = {arch.buffer.kilobytes}; enlarge it"
        )
    return best


def merit(arch: Architecture) -> Callable[[LayerCost], tuple[float, int]]:
    """Return what mappings are compared by: energy times time, then time."""
    return lambda found: (sum(found.energy(arch).values()) * found.cycles.total, found.cycles.total)


def _most_filters(shape: ConvShape, arch: Architecture, e: int, p: int, q: int, r: int, t: int, n: int) -> int:
    """Return the largest m, a multiple of p t or all filters, that the buffer has room for; 0 where none is."""
    filters = shape.core.filters // shape.groups
    ifmap, one = buffer_words(shape, Mapping(1, n, e, p, q, r, t))
    room = (arch.buffer_words - ifmap) // one if ifmap <= arch.buffer_words else 0
    if room >= filters:
        return filters
    return room // (p * t) * (p * t)


def _whole_segments(core: Core, channels: int) -> bool:
    """Whether a pass of so many of the core's channels cuts no segment."""
    return channels % core.terms == 0 or channels >= core.channels


def _pieces(length: int, size: int) -> list[int]:
    """Return the lengths that pieces of at most `size` have."""
    return [min(size, length - start) for start in range(0, length, size)]


def _even(length: int, most: int | None = None) -> list[int]:
    """Return the sizes that cut a length into as many pieces as no smaller size does.

    >>> _even(13), _even(13, 5)
    ([1, 2, 3, 4, 5, 7, 13], [1, 2, 3, 4, 5])
    """
    sizes = sorted({-(-length // parts) for parts in range(1, length + 1)})
    return [size for size in sizes if most is None or size <= most]


def _inside(shape: ConvShape, strips: list[int]) -> Iterator[int]:
    """Yield the rows of the input, padding left out, that every strip of output rows is computed from."""
    start = -shape.padding[0]
    for rows in strips:
        stop = start + shape.rows_read(rows)
        yield min(stop, shape.size[0]) - max(start, 0)
        start += rows * shape.stride
