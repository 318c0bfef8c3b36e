"""Reads a map from the buffer, row by row, channels together and the last first, with its padding."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from horner.backends.rtl.streams import vectors


class Reader(wiring.Component):
    """Activations less their zero point, an activation a cycle; padding is 0.

    Parameters
    ----------
    depth
        Activations in the buffer.
    size, channels
        The most rows or columns, padding included, and channels.
    """

    def __init__(self, depth: int, size: int, channels: int) -> None:
        super().__init__(
            {
                "start": In(1),
                "base": In(range(depth)),
                "rows_last": In(range(size)),
                "columns_last": In(range(size)),
                "top": In(range(size)),  # rows of padding above, and the row where the map ends
                "bottom": In(range(size + 1)),
                "left": In(range(size)),
                "right": In(range(size + 1)),
                "channels_last": In(range(channels)),
                "row_words": In(range(depth + 1)),
                "zero": In(signed(8)),
                "address": Out(range(depth)),
                "enable": Out(1),
                "data": In(signed(8)),
                "items": Out(vectors(9, 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        row, column = Signal.like(self.rows_last), Signal.like(self.columns_last)
        channel = Signal.like(self.channels_last)
        line, pixel = Signal.like(self.address), Signal.like(self.address)
        active, padding, go = Signal(), Signal(), Signal()
        within_rows, within = Signal(), Signal()
        m.d.comb += within_rows.eq((row >= self.top) & (row < self.bottom))
        m.d.comb += within.eq(within_rows & (column >= self.left) & (column < self.right))
        m.d.comb += go.eq(~self.items.valid | self.items.ready)
        m.d.comb += [self.address.eq(pixel + channel), self.enable.eq(go)]
        m.d.comb += self.items.payload[0].eq(Mux(padding, 0, self.data - self.zero))
        with m.If(go):
            m.d.sync += [self.items.valid.eq(active), padding.eq(~within)]
            with m.If(active):
                m.d.sync += channel.eq(channel - 1)
                with m.If(channel == 0):
                    m.d.sync += [channel.eq(self.channels_last), column.eq(column + 1)]
                    with m.If(within):
                        m.d.sync += pixel.eq(pixel + self.channels_last + 1)
                    with m.If(column == self.columns_last):
                        m.d.sync += [column.eq(0), row.eq(row + 1)]
                        with m.If(within_rows):
                            m.d.sync += [line.eq(line + self.row_words), pixel.eq(line + self.row_words)]
                        with m.If(row == self.rows_last):
                            m.d.sync += active.eq(0)
        with m.If(self.start):
            m.d.sync += [active.eq(1), row.eq(0), column.eq(0), channel.eq(self.channels_last)]
            m.d.sync += [line.eq(self.base), pixel.eq(self.base), self.items.valid.eq(0)]
        return m
