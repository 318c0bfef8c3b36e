"""Spread units: outputs of a segment from the sums of its coefficients."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from horner.backends.rtl.arithmetic import add
from horner.backends.rtl.streams import numbers


class Spread(wiring.Component):
    """A difference engine: y grows by d, d grows by q, an output a cycle.

    The sums of a segment come in, order 0 first, while the segment before goes out: ``outputs[i] = sum(C(i, k) *
    sums[k])``, as `horner.basis.Axis.spread` says it.

    Parameters
    ----------
    width
        Bits of sums and outputs.
    terms, length, segments
        The most coefficients and outputs of a segment, and segments; the last may be shorter.
    """

    def __init__(self, width: int, terms: int, length: int, segments: int) -> None:
        self.width, self.terms = width, terms
        super().__init__(
            {
                "start": In(1),
                "terms_last": In(range(terms)),
                "length_last": In(range(length)),
                "final_last": In(range(length)),
                "segments_last": In(range(segments)),
                "sums": In(numbers(width)),
                "outputs": Out(numbers(width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        waits = [Signal(signed(self.width), name=f"waits{k}") for k in range(self.terms)]
        moves = [Signal(signed(self.width), name=f"moves{k}") for k in range(self.terms)]
        term = Signal.like(self.terms_last)
        index = Signal.like(self.length_last)
        segment = Signal.like(self.segments_last)
        full, ends = Signal(), Signal()
        limit = Mux(segment == self.segments_last, self.final_last, self.length_last)
        m.d.comb += self.outputs.payload.eq(moves[0])
        sends = Signal()
        m.d.comb += sends.eq(self.outputs.valid & self.outputs.ready)
        m.d.comb += ends.eq(sends & (index == limit))
        loads = Signal()
        m.d.comb += loads.eq(full & (~self.outputs.valid | ends))
        m.d.comb += self.sums.ready.eq(~full | loads)
        moved = [add(m, str(k), moves[k], moves[k + 1], self.width) for k in range(self.terms - 1)]
        with m.If(sends):
            m.d.sync += index.eq(index + 1)
            for k in range(self.terms - 1):
                m.d.sync += moves[k].eq(moved[k])
        with m.If(ends):
            m.d.sync += [index.eq(0), self.outputs.valid.eq(0)]
            m.d.sync += segment.eq(Mux(segment == self.segments_last, 0, segment + 1))
        with m.If(loads):
            m.d.sync += [self.outputs.valid.eq(1), full.eq(0)]
            for k in range(self.terms):
                m.d.sync += moves[k].eq(Mux(k <= self.terms_last, waits[k], 0) if k else waits[k])
        with m.If(self.sums.valid & self.sums.ready):
            m.d.sync += term.eq(term + 1)
            for k in range(self.terms):
                with m.If(term == k):
                    m.d.sync += waits[k].eq(self.sums.payload)
            with m.If(term == self.terms_last):
                m.d.sync += [term.eq(0), full.eq(1)]
        with m.If(self.start):
            m.d.sync += [term.eq(0), index.eq(0), segment.eq(0), full.eq(0), self.outputs.valid.eq(0)]
        return m
