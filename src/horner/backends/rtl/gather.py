"""Gather units: sums of orders 0, 1 and 2 over items that come one a cycle."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from horner.backends.rtl.arithmetic import add
from horner.backends.rtl.streams import vector, vectors


class Gather(wiring.Component):
    """A cascade of accumulators: an adder an order, an item a cycle.

    Items of a group come last first, so that what the first accumulator holds is a suffix sum, and what the second
    holds is a sum of those: ``sums[k] = sum(C(i, k) * items[i])``, as `horner.basis.Axis.gather` says it. Without
    `gathers` the same registers collect the items themselves, ``sums[k] = items[k]``.

    Parameters
    ----------
    width, lanes
        Of an item: a vector.
    terms
        Orders at most, or items to collect.
    adders
        Orders that have an adder; the others can only collect.
    total
        Bits of a sum.
    length, groups
        Largest group, and groups in a row that the first differs from.
    """

    def __init__(
        self, width: int, lanes: int, terms: int, adders: int, total: int, length: int, groups: int = 1
    ) -> None:
        self.lanes, self.terms, self.adders, self.total = lanes, terms, adders, total
        super().__init__(
            {
                "start": In(1),
                "gathers": In(1),
                "first_last": In(range(length)),
                "length_last": In(range(length)),
                "groups_last": In(range(groups)),
                "items": In(vectors(width, lanes)),
                "sums": Out(stream.Signature(data.ArrayLayout(vector(total, lanes), terms))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        index = Signal.like(self.length_last)
        group = Signal.like(self.groups_last)
        held = [[Signal(signed(self.total)) for _ in range(self.lanes)] for _ in range(self.terms)]
        last = Signal()
        m.d.comb += last.eq(index == Mux(group == 0, self.first_last, self.length_last))
        m.d.comb += self.items.ready.eq(~last | ~self.sums.valid | self.sums.ready)
        with m.If(self.sums.ready):
            m.d.sync += self.sums.valid.eq(0)
        totals = [[self._total(m, held, term, lane) for lane in range(self.lanes)] for term in range(self.terms)]
        with m.If(self.items.valid & self.items.ready):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
            with m.If(last):
                m.d.sync += self.sums.valid.eq(1)
                m.d.sync += group.eq(Mux(group == self.groups_last, 0, group + 1))
            for term in range(self.terms):
                for lane in range(self.lanes):
                    m.d.sync += held[term][lane].eq(Mux(last, 0, totals[term][lane]))
                    with m.If(last):
                        m.d.sync += self.sums.payload[term][lane].eq(totals[term][lane])
        with m.If(self.start):
            m.d.sync += [index.eq(0), group.eq(0)]
        return m

    def _total(self, m: Module, held: list[list[Signal]], term: int, lane: int) -> Value:
        """Return what an accumulator takes: what arrives, and what it holds where it adds."""
        arrives = held[term - 1][lane] if term else self.items.payload[lane]
        if term >= self.adders:
            return arrives
        before = Signal(signed(self.total), name=f"before{term}_{lane}")
        m.d.comb += before.eq(Mux(self.gathers, held[term][lane], 0))
        return add(m, f"{term}_{lane}", arrives, before, self.total)


class WideGather(wiring.Component):
    """The sums of a whole vector in a cycle: cascaded suffix sums, each by as many adders as it has terms less one.

    Without `gathers` the vector passes: ``sums[k] = items[k]``. A shorter vector ends in zeros, which add nothing.

    Parameters
    ----------
    width, lanes
        Of the vector.
    terms
        Orders at most.
    total
        Bits of a sum.
    """

    def __init__(self, width: int, lanes: int, terms: int, total: int) -> None:
        self.lanes, self.terms, self.total = lanes, terms, total
        super().__init__(
            {"start": In(1), "gathers": In(1), "items": In(vectors(width, lanes)), "sums": Out(vectors(total, lanes))}
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        m.d.comb += self.items.ready.eq(~self.sums.valid | self.sums.ready)
        values = [self.items.payload[lane] for lane in range(self.lanes)]
        orders: list[Signal] = []
        for order in range(min(self.terms, self.lanes)):
            values = values[1:] if order else values
            sums = values[-1:]
            for value in reversed(values[:-1]):
                sums.append(add(m, f"{order}_{len(sums)}", value, sums[-1], self.total))
            values = sums[::-1]
            orders.append(values[0])
        with m.If(self.items.ready):
            m.d.sync += self.sums.valid.eq(self.items.valid)
            for lane in range(self.lanes):
                item = self.items.payload[lane]
                m.d.sync += self.sums.payload[lane].eq(
                    Mux(self.gathers, orders[lane], item) if lane < len(orders) else item
                )
        with m.If(self.start):
            m.d.sync += self.sums.valid.eq(0)
        return m


class Serialise(wiring.Component):
    """The sums of a group one after the other, order 0 first."""

    def __init__(self, width: int, lanes: int, terms: int) -> None:
        self.terms = terms
        super().__init__(
            {
                "start": In(1),
                "terms_last": In(range(terms)),
                "sums": In(stream.Signature(data.ArrayLayout(vector(width, lanes), terms))),
                "items": Out(vectors(width, lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        index = Signal.like(self.terms_last)
        last = index == self.terms_last
        m.d.comb += self.items.valid.eq(self.sums.valid)
        with m.Switch(index):
            for term in range(self.terms):
                with m.Case(term):
                    m.d.comb += self.items.payload.eq(self.sums.payload[term])
        m.d.comb += self.sums.ready.eq(self.items.ready & last)
        with m.If(self.items.valid & self.items.ready):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
        with m.If(self.start):
            m.d.sync += index.eq(0)
        return m
