"""Maximum over windows that do not overlap, of a map that comes row by row, channels together."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from horner.backends.rtl.memories import make
from horner.backends.rtl.streams import numbers


class MaxPool(wiring.Component):
    """Keeps the largest so far of every window of a row of windows; of 1 x 1 it lets everything pass.

    Parameters
    ----------
    length
        The largest window along either axis.
    steps, channels
        The most windows in a row, and channels.
    depth
        The most windows in a row times channels.
    """

    def __init__(self, length: int, steps: int, channels: int, depth: int) -> None:
        self.depth = depth
        super().__init__(
            {
                "start": In(1),
                "rows_last": In(range(length)),  # of a window
                "columns_last": In(range(length)),
                "steps_last": In(range(steps)),
                "channels_last": In(range(channels)),
                "items": In(numbers(8)),
                "largest": Out(numbers(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        m.submodules.kept = kept = make(signed(8), self.depth)
        write = kept.write_port()
        read = kept.read_port(transparent_for=(write,))
        row, column = Signal.like(self.rows_last), Signal.like(self.columns_last)
        step, channel = Signal.like(self.steps_last), Signal.like(self.channels_last)
        base = Signal(range(self.depth))
        first = (row == 0) & (column == 0)
        final = (row == self.rows_last) & (column == self.columns_last)

        busy, was_first, was_final = Signal(), Signal(), Signal()
        item, at = Signal(signed(8)), Signal(range(self.depth))
        best = Signal(signed(8))
        m.d.comb += best.eq(Mux(was_first | (read.data < item), item, read.data))
        m.d.comb += [self.largest.valid.eq(busy & was_final), self.largest.payload.eq(best)]
        m.d.comb += self.items.ready.eq(~self.largest.valid | self.largest.ready)
        m.d.comb += [write.en.eq(busy), write.addr.eq(at), write.data.eq(best)]
        accepts = Signal()
        m.d.comb += accepts.eq(self.items.valid & self.items.ready)
        m.d.comb += [read.en.eq(accepts), read.addr.eq(base + channel)]
        with m.If(self.items.ready):
            m.d.sync += busy.eq(self.items.valid)
        with m.If(accepts):
            m.d.sync += [item.eq(self.items.payload), at.eq(read.addr), was_first.eq(first), was_final.eq(final)]
            m.d.sync += channel.eq(channel + 1)
            with m.If(channel == self.channels_last):
                m.d.sync += [channel.eq(0), column.eq(column + 1)]
                with m.If(column == self.columns_last):
                    m.d.sync += [column.eq(0), step.eq(step + 1), base.eq(base + self.channels_last + 1)]
                    with m.If(step == self.steps_last):
                        m.d.sync += [step.eq(0), base.eq(0), row.eq(Mux(row == self.rows_last, 0, row + 1))]
        with m.If(self.start):
            m.d.sync += [channel.eq(0), column.eq(0), step.eq(0), base.eq(0), row.eq(0), busy.eq(0)]
        return m
