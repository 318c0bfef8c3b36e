"""Processing elements: rows of the kernel down the array, filters across it."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from horner.backends.rtl.arithmetic import add, multiply
from horner.backends.rtl.memories import make
from horner.backends.rtl.streams import numbers, vector, vectors


def ring_of(taps: int) -> int:
    """Return the vectors that the array's ring holds: two windows of the most taps, rounded up to a power of two."""
    return 2 << (taps - 1).bit_length()


class PE(wiring.Component):
    """A multiplier and an accumulator, with registers after the multiplier and after the sum.

    Parameters
    ----------
    width, weight, total
        Bits of an operand, of a weight, of a sum.
    """

    def __init__(self, width: int, weight: int, total: int) -> None:
        super().__init__(
            {
                "go": In(1),
                "first": In(1),  # with the product in its register
                "adds": In(1),
                "operand": In(signed(width)),
                "weight": In(signed(weight)),
                "sum": Out(signed(total)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        product = Signal(signed(len(self.operand) + len(self.weight)))
        before = Signal.like(self.sum)
        m.d.comb += before.eq(Mux(self.first, 0, self.sum))
        total = add(m, "sum", product, before, len(self.sum))
        multiplied = multiply(m, "weight", self.operand, self.weight)
        with m.If(self.go):
            m.d.sync += product.eq(multiplied)
            with m.If(self.adds):
                m.d.sync += self.sum.eq(total)
        return m


class Array(wiring.Component):
    """PEs that all take a vector of operands a cycle, a lane a row, and each a weight of its own.

    Vectors of a window come once and are used again by every pass and, where windows overlap along a row, by the
    windows after it; a pass computes one filter a column. Rows of a column are added up where
    its sum leaves, one column a cycle, while the next pass computes.

    Parameters
    ----------
    rows, columns
        PEs.
    width, weight, total
        Bits of an operand, of a weight, of a sum.
    taps, passes, positions
        The most vectors of a window, passes over it, and windows in a row.
    words
        For every address one weight for every PE, ``[columns][rows]`` of them.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        width: int,
        weight: int,
        total: int,
        taps: int,
        passes: int,
        positions: int,
        words: list[int],
    ) -> None:
        self.rows, self.columns, self.width, self.weight, self.total = rows, columns, width, weight, total
        self.most, self.words = taps, words
        super().__init__(
            {
                "start": In(1),
                "taps": In(range(taps + 1)),
                "advance": In(range(taps + 1)),  # vectors that the next window does not share
                "positions_last": In(range(positions)),  # windows of a row; the first of the next shares none
                "passes_last": In(range(passes)),
                "columns_last": In(range(columns)),  # columns that a pass uses, and the last pass
                "tail_last": In(range(columns)),
                "base": In(range(len(words))),
                "items": In(vectors(width, rows)),
                "sums": Out(numbers(total)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        go = Signal()
        operands, valid, first, last, tail = self._sequence(m, go)
        m.submodules.weights = weights = make(
            unsigned(self.rows * self.columns * self.weight), len(self.words), self.words
        )
        fetch = weights.read_port()
        m.d.comb += [fetch.en.eq(go), fetch.addr.eq(self.at)]
        sums = []
        for column in range(self.columns):
            for row in range(self.rows):
                pe = PE(self.width, self.weight, self.total)
                m.submodules[f"pe_{row}_{column}"] = pe
                at = (column * self.rows + row) * self.weight
                m.d.comb += [
                    pe.go.eq(go),
                    pe.first.eq(first[2]),
                    pe.adds.eq(valid[2]),
                    pe.operand.eq(operands[row]),
                    pe.weight.eq(fetch.data[at : at + self.weight].as_signed()),
                ]
                sums.append(pe.sum)
        self._drain(m, go, valid[3] & last[3], tail[3], sums)
        return m

    def _sequence(self, m: Module, go: Signal) -> tuple:
        """Keep the vectors of a window, and those that come after it, in a ring."""
        depth = ring_of(self.most)
        m.submodules.operands = store = make(unsigned(self.rows * self.width), depth)
        write, read = store.write_port(), store.read_port()
        head, tail = Signal(range(depth)), Signal(range(depth))
        kept = Signal(range(depth + 1))
        m.d.comb += [self.items.ready.eq(kept != depth), write.en.eq(self.items.valid & self.items.ready)]
        m.d.comb += [write.addr.eq(tail), write.data.eq(self.items.payload)]
        with m.If(write.en):
            m.d.sync += tail.eq(tail + 1)

        tap, turn = Signal(range(self.most)), Signal.like(self.passes_last)
        position = Signal.like(self.positions_last)
        self.at = at = Signal.like(self.base)
        ends, finished, ready = Signal(), turn == self.passes_last, Signal()
        m.d.comb += [ends.eq(tap == self.taps - 1), ready.eq(kept >= self.taps)]
        m.d.comb += [read.en.eq(go), read.addr.eq(head + tap)]
        released = Signal.like(self.taps)
        with m.If(go & ready):
            m.d.sync += [tap.eq(tap + 1), at.eq(at + 1)]
            with m.If(ends):
                m.d.sync += [tap.eq(0), turn.eq(turn + 1)]
                with m.If(finished):
                    row_ends = position == self.positions_last
                    m.d.comb += released.eq(Mux(row_ends, self.taps, self.advance))
                    m.d.sync += [turn.eq(0), at.eq(self.base), position.eq(Mux(row_ends, 0, position + 1))]
        m.d.sync += [head.eq(head + released), kept.eq(kept + write.en - released)]
        with m.If(self.start):
            m.d.sync += [tap.eq(0), turn.eq(0), at.eq(self.base), position.eq(0)]
            m.d.sync += [head.eq(0), tail.eq(0), kept.eq(0)]

        # what goes with a vector: read, multiplied, added up
        valid, first, last, tail = ([now] for now in (ready, tap == 0, ends, finished))
        for flags in (valid, first, last, tail):
            for stage in range(3):
                later = Signal(name=f"stage{stage}")
                with m.If(go):
                    m.d.sync += later.eq(flags[-1])
                flags.append(later)
        lanes = vector(self.width, self.rows)(read.data)
        return lanes, valid, first, last, tail

    def _drain(self, m: Module, go: Signal, done: Signal, tail: Signal, sums: list[Signal]) -> None:
        """Take the sums of a pass while the next computes, and send a column a cycle, its rows added up."""
        held = [Signal(signed(self.total), name=f"held{i}") for i in range(len(sums))]
        left = Signal(range(self.columns + 1))
        added = held[0]
        for row in range(1, self.rows):
            added = add(m, f"row_{row}", added, held[row], self.total)
        free = Signal()
        sends = Signal()
        m.d.comb += sends.eq((left != 0) & (~self.sums.valid | self.sums.ready))
        m.d.comb += free.eq((left == 0) | (sends & (left == 1)))
        m.d.comb += go.eq(~done | free)
        with m.If(self.sums.ready):
            m.d.sync += self.sums.valid.eq(0)
        with m.If(sends):
            m.d.sync += [self.sums.valid.eq(1), self.sums.payload.eq(added), left.eq(left - 1)]
            m.d.sync += Cat(held).eq(Cat(*held[self.rows :], *held[: self.rows]))
        with m.If(done & free):
            m.d.sync += left.eq(Mux(tail, self.tail_last, self.columns_last) + 1)
            m.d.sync += Cat(held).eq(Cat(sums))
        with m.If(self.start):
            m.d.sync += [left.eq(0), self.sums.valid.eq(0)]
