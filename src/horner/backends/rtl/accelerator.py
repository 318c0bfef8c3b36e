"""A whole accelerator: layer after layer through one array."""

from __future__ import annotations

import itertools
from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from horner.backends.rtl.array import Array
from horner.backends.rtl.design import Design
from horner.backends.rtl.gather import Gather, Serialise, WideGather
from horner.backends.rtl.memories import make
from horner.backends.rtl.pool import MaxPool
from horner.backends.rtl.reader import Reader
from horner.backends.rtl.requantise import Requantise
from horner.backends.rtl.spread import Spread
from horner.backends.rtl.streams import bits, numbers
from horner.backends.rtl.window import WideWindow, Window
from horner.program.schedule import COL, IN, OUT, ROW


class Accelerator(wiring.Component):
    """Images in, logits out.

    An image comes pixel by pixel, row by row, channels together, as int8; it is stored while the layers after the
    first still work on the image before. Then, for every layer: the buffer is read, sums over channels are gathered,
    lines and columns are kept for the kernel, sums over both gathered, operands multiplied and added up, outputs
    spread, requantised, pooled, and written back or, at the end, sent.

    Parameters
    ----------
    design
        What `horner.backends.rtl.design.design` has made of a program.
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        super().__init__(
            {
                "pixels": In(numbers(8)),
                "logits": Out(numbers(8)),
                "layer": Out(range(len(design.steps))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        design = self.design
        blocks = self._blocks()
        for name, block in blocks.items():
            m.submodules[name] = block

        layout = _layout(design)
        m.submodules.settings = table = make(
            layout,
            len(design.settings),
            [{f"{b}_{n}": v for b, of in s.items() for n, v in of.items()} for s in design.settings],
        )
        setting = table.read_port()
        start, done = Signal(), Signal()
        for name, block in blocks.items():
            for field in design.settings[0].get(name, {}):
                if hasattr(block, field):
                    m.d.comb += getattr(block, field).eq(setting.data[f"{name}_{field}"])
            m.d.comb += block.start.eq(start)

        stages = list(blocks.values())
        for before, after in itertools.pairwise(stages):
            self._join(m, before, after)

        m.submodules.buffer = buffer = make(signed(8), design.depth)
        write, read = buffer.write_port(), buffer.read_port()
        reader = blocks["reader"]
        m.d.comb += [read.addr.eq(reader.address), read.en.eq(reader.enable), reader.data.eq(read.data)]
        self._write(m, setting.data, start, done, blocks["pool"].largest, write)
        self._control(m, setting, start, done)
        return m

    def _blocks(self) -> dict[str, Any]:
        """Return the blocks in the order of the data."""
        design, widths = self.design, self.design.widths
        of = design.largest

        def window(name: str, width: int, lanes: int) -> Window:
            length = of(name, "length_last") + 1
            steps = max(of(name, "steps_last"), of(name, "stride_last")) + 1
            depth = max(s[name]["top"] + s[name]["inner"] for s in design.settings)
            return Window(width, lanes, length, steps, of(name, "inner"), depth)

        def longest(name: str) -> int:
            return max(of(name, "first_last"), of(name, "length_last")) + 1

        rows = design.rows
        blocks: dict[str, Any] = {
            "reader": Reader(
                design.depth,
                max(of("reader", name) for name in ("bottom", "right", "rows_last", "columns_last")) + 1,
                of("reader", "channels_last") + 1,
            )
        }
        width = 9
        if design.of(IN):
            terms, total = of("channel_terms", "terms_last") + 1, max(9, widths["channel"])
            groups = of("channel_sums", "groups_last") + 1
            blocks["channel_sums"] = Gather(width, 1, terms, terms, total, longest("channel_sums"), groups)
            blocks["channel_terms"] = Serialise(total, 1, terms)
            width = total
        adders = max((axis.runs[0][2] for axis in design.of(ROW)), default=0)
        total = max(width, widths["row"])
        kernel, height = of("lines", "length_last") + 1, max(of("lines", "steps_last"), of("lines", "stride_last")) + 1
        if design.wide:
            places = max(kernel, rows)
            blocks["lines"] = WideWindow(width, places, kernel, height, of("lines", "inner"))
            if adders:
                blocks["row_sums"] = WideGather(width, places, adders, total)
                width = total
        else:
            blocks["lines"] = window("lines", width, 1)
            blocks["row_sums"] = Gather(width, 1, rows, adders, total, longest("row_sums"))
            width = total
        if design.of(COL) or of("steps", "stride_last"):
            blocks["steps"] = window("steps", width, rows)
            terms, total = of("column_terms", "terms_last") + 1, max(width, widths["operand"])
            blocks["column_sums"] = Gather(width, rows, terms, terms, total, longest("column_sums"))
            blocks["column_terms"] = Serialise(total, rows, terms)
            width = total
        blocks["array"] = Array(
            rows,
            design.columns,
            width,
            widths["weight"],
            widths["sum"],
            of("array", "taps"),
            of("array", "passes_last") + 1,
            of("array", "positions_last") + 1,
            design.words,
        )
        if design.of(OUT):
            blocks["spread"] = Spread(
                widths["sum"],
                of("spread", "terms_last") + 1,
                max(of("spread", "length_last"), of("spread", "final_last")) + 1,
                of("spread", "segments_last") + 1,
            )
        blocks["requantise"] = Requantise(widths["biased"], design.shift, widths["multiplier"], design.filters)
        blocks["pool"] = MaxPool(
            max(of("pool", "rows_last"), of("pool", "columns_last")) + 1,
            of("pool", "steps_last") + 1,
            of("pool", "channels_last") + 1,
            max((s["pool"]["steps_last"] + 1) * (s["pool"]["channels_last"] + 1) for s in design.settings),
        )
        return blocks

    def _join(self, m: Module, before: Any, after: Any) -> None:
        """Connect an output to the input that follows it; what the first lacks in bits is its sign."""
        source = next(
            getattr(before, n)
            for n in ("items", "sums", "windows", "outputs", "activations")
            if n in before.signature.members and before.signature.members[n].flow is Out
        )
        sink = next(
            getattr(after, n)
            for n in ("items", "sums")
            if n in after.signature.members and after.signature.members[n].flow is In
        )
        m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
        if isinstance(before, Gather) and isinstance(after, Window):  # the orders of a sum are the lanes of an item
            for lane in range(before.terms):
                m.d.comb += sink.payload[lane].eq(source.payload[lane][0])
        elif isinstance(sink.payload, data.View):
            for lane in range(sink.payload.shape().length):
                m.d.comb += sink.payload[lane].eq(source.payload[lane])
        else:
            m.d.comb += sink.payload.eq(source.payload)

    def _write(self, m: Module, setting: Any, start: Signal, done: Signal, results: Any, write: Any) -> None:
        """Store results, or send those of the last layer; store pixels when nothing else is stored."""
        design = self.design
        count = Signal(range(max(s["writer"]["outputs_last"] for s in design.settings) + 1))
        at = Signal(range(design.depth))
        ends = self.layer == len(design.steps) - 1
        stores = Signal()
        m.d.comb += self.logits.valid.eq(results.valid & ends)
        m.d.comb += self.logits.payload.eq(results.payload)
        m.d.comb += results.ready.eq(Mux(ends, self.logits.ready, 1))
        m.d.comb += stores.eq(results.valid & ~ends)
        m.d.comb += done.eq(results.valid & results.ready & (count == setting.writer_outputs_last))
        with m.If(results.valid & results.ready):
            m.d.sync += [count.eq(count + 1), at.eq(at + 1)]
        with m.If(start):
            m.d.sync += [count.eq(0), at.eq(setting.writer_base)]

        words = 1
        for size in design.program.input.shape:
            words *= size
        pixel = Signal(range(words))
        self.full = Signal()
        m.d.comb += self.pixels.ready.eq(~self.full & ~stores)
        m.d.comb += write.en.eq(stores | (self.pixels.valid & self.pixels.ready))
        m.d.comb += write.addr.eq(Mux(stores, at, pixel))
        m.d.comb += write.data.eq(Mux(stores, results.payload, self.pixels.payload))
        with m.If(self.pixels.valid & self.pixels.ready):
            m.d.sync += pixel.eq(pixel + 1)
            with m.If(pixel == words - 1):
                m.d.sync += [pixel.eq(0), self.full.eq(1)]
        with m.If(done & (self.layer == 0)):
            m.d.sync += self.full.eq(0)

    def _control(self, m: Module, setting: Any, start: Signal, done: Signal) -> None:
        """Fetch the settings of a layer, start it, wait until its last result is gone."""
        last = self.layer == len(self.design.steps) - 1
        m.d.comb += [setting.en.eq(1), setting.addr.eq(self.layer)]
        with m.FSM():
            with m.State("fetch"), m.If((self.layer != 0) | self.full):
                m.next = "start"
            with m.State("start"):
                m.d.comb += [start.eq(1), self.busy.eq(1)]
                m.next = "run"
            with m.State("run"):
                m.d.comb += self.busy.eq(1)
                with m.If(done):
                    m.d.sync += self.layer.eq(Mux(last, 0, self.layer + 1))
                    m.next = "fetch"


def _layout(design: Design) -> data.StructLayout:
    fields: dict[str, Any] = {}
    for block, of in design.settings[0].items():
        for name in of:
            values = [settings[block][name] for settings in design.settings]
            most = max(abs(value) for value in values)
            fields[f"{block}_{name}"] = signed(bits(most)) if min(values) < 0 else unsigned(most.bit_length() or 1)
    return data.StructLayout(fields)
