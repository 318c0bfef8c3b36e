"""Line buffers: the last rows of a map, or the last columns of its rows, at every place of the kernel."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from horner.backends.rtl.memories import make
from horner.backends.rtl.streams import vector, vectors


class WideWindow(wiring.Component):
    """Slides a kernel along one axis of a map, and shows all of its places at once.

    As `Window`, but what goes out, at every item of a step that a kernel ends on, is a vector of `places`: the same
    item of the kernel's steps, the oldest first, then zeros.
    """

    def __init__(self, width: int, places: int, length: int, steps: int, inner: int) -> None:
        self.width, self.places = width, places
        super().__init__(
            {
                "start": In(1),
                "length_last": In(range(length)),
                "stride_last": In(range(steps)),
                "steps_last": In(range(steps)),
                "inner": In(range(inner + 1)),
                "items": In(vectors(width, 1)),
                "windows": Out(vectors(width, places)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        older = vector(self.width, max(1, self.places - 1))  # the newest first
        m.submodules.kept = kept = make(older, max(2, 1 << (len(self.inner))))
        write = kept.write_port()
        read = kept.read_port(transparent_for=(write,))
        index, held = Signal.like(self.inner), Signal.like(self.inner)
        step = Signal.like(self.steps_last)
        due = Signal(max(1, len(self.length_last), len(self.stride_last)))  # steps to the next window
        item = Signal(signed(self.width))
        busy, sends = Signal(), Signal()
        go, accepts = Signal(), Signal()
        m.d.comb += go.eq(~self.windows.valid | self.windows.ready)
        m.d.comb += [self.items.ready.eq(go), accepts.eq(go & self.items.valid)]
        m.d.comb += [read.en.eq(accepts), read.addr.eq(index)]
        m.d.comb += self.windows.valid.eq(busy & sends)
        column = [item, *(read.data[i] for i in range(self.places - 1))]  # the newest first
        for place in range(self.places):
            with m.Switch(self.length_last):
                for last in range(min(1 << len(self.length_last), self.places)):
                    with m.Case(last):
                        m.d.comb += self.windows.payload[place].eq(column[last - place] if place <= last else 0)
        m.d.comb += [write.en.eq(busy & go), write.addr.eq(held)]
        for i in range(self.places - 1):
            m.d.comb += write.data[i].eq(column[i])
        with m.If(go):
            m.d.sync += busy.eq(self.items.valid)
        with m.If(accepts):
            m.d.sync += [item.eq(self.items.payload[0]), held.eq(index), sends.eq(due == 0), index.eq(index + 1)]
            with m.If(index == self.inner - 1):
                m.d.sync += [index.eq(0), step.eq(step + 1), due.eq(Mux(due == 0, self.stride_last, due - 1))]
                with m.If(step == self.steps_last):
                    m.d.sync += [step.eq(0), due.eq(self.length_last)]
        with m.If(self.start):
            m.d.sync += [index.eq(0), step.eq(0), busy.eq(0), due.eq(self.length_last)]
        return m


class Window(wiring.Component):
    """Slides a kernel along one axis of a map.

    Steps of `inner` items each come in; at every step that a kernel of `length` steps ends on, each of the step's items
    goes out followed by the same item of the `length` - 1 steps before: an item a cycle, the newest first.

    Parameters
    ----------
    width, lanes
        Of an item: a vector.
    length, steps, inner
        The largest kernel, steps and items of a step.
    depth
        The largest length times inner, items that are kept.
    """

    def __init__(self, width: int, lanes: int, length: int, steps: int, inner: int, depth: int) -> None:
        self.depth = depth
        super().__init__(
            {
                "start": In(1),
                "length_last": In(range(length)),
                "stride_last": In(range(steps)),
                "steps_last": In(range(steps)),
                "inner": In(range(inner + 1)),
                "top": In(range(depth)),  # (length - 1) * inner
                "items": In(vectors(width, lanes)),
                "windows": Out(vectors(width, lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        m.submodules.kept = kept = make(unsigned(self.items.payload.shape().size), self.depth)
        write, read = kept.write_port(), kept.read_port()
        base, slot = Signal(range(self.depth)), Signal(range(self.depth))  # of this step, of the one being read
        index, held = Signal.like(self.inner), Signal.like(self.inner)
        step = Signal.like(self.steps_last)
        due = Signal(max(1, len(self.length_last), len(self.stride_last)))  # steps to the next window
        place = Signal.like(self.length_last)
        item = Signal.like(self.items.payload.as_value())
        busy = Signal()

        def before(at: Signal) -> Signal:
            """Return where the step before one lies."""
            earlier = Signal(range(self.depth))
            m.d.comb += earlier.eq(Mux(at == 0, self.top, at - self.inner))
            return earlier

        sends = Signal()
        ends = Signal()
        m.d.comb += sends.eq(busy & self.windows.ready)
        m.d.comb += ends.eq(sends & (place == self.length_last))
        m.d.comb += self.items.ready.eq(~busy | ends)
        accepts = Signal()
        m.d.comb += accepts.eq(self.items.valid & self.items.ready)

        m.d.comb += write.en.eq(accepts)
        m.d.comb += write.addr.eq(base + index)
        m.d.comb += write.data.eq(self.items.payload)
        earlier, earliest = before(base), before(slot)
        m.d.comb += read.en.eq(accepts | (sends & (place != 0)))
        m.d.comb += read.addr.eq(Mux(accepts, earlier + index, earliest + held))

        m.d.comb += self.windows.valid.eq(busy)
        m.d.comb += Cat(self.windows.payload.as_value()).eq(Mux(place == 0, item, read.data))

        with m.If(sends):
            m.d.sync += place.eq(place + 1)
            with m.If(place != 0):
                m.d.sync += slot.eq(earliest)
        with m.If(ends):
            m.d.sync += busy.eq(0)
        with m.If(accepts):
            m.d.sync += [item.eq(self.items.payload), held.eq(index), slot.eq(earlier), place.eq(0)]
            m.d.sync += busy.eq(due == 0)
            m.d.sync += index.eq(index + 1)
            with m.If(index == self.inner - 1):
                m.d.sync += index.eq(0)
                m.d.sync += base.eq(Mux(base == self.top, 0, base + self.inner))
                m.d.sync += due.eq(Mux(due == 0, self.stride_last, due - 1))
                m.d.sync += step.eq(step + 1)
                with m.If(step == self.steps_last):
                    m.d.sync += [step.eq(0), due.eq(self.length_last), base.eq(0)]
        with m.If(self.start):
            m.d.sync += [index.eq(0), step.eq(0), base.eq(0), busy.eq(0), due.eq(self.length_last)]
        return m
