import numpy as np
from amaranth.hdl import Module
from amaranth.lib import memory, wiring
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import generators
from testbench import drive

from horner.backends.rtl.reader import Reader


class Stored(wiring.Component):
    """A reader on a buffer that holds a map."""

    def __init__(self, reader, words):
        self.reader, self.words = reader, words
        super().__init__(dict(reader.signature.members) | {"unused": wiring.In(reader.items.signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = self.reader
        m.submodules.buffer = buffer = memory.Memory(shape=8, depth=len(self.words), init=self.words)
        port = buffer.read_port()
        for name in reader.signature.members:
            if name not in ("items", "address", "enable", "data"):
                m.d.comb += getattr(reader, name).eq(getattr(self, name))
        m.d.comb += [port.addr.eq(reader.address), port.en.eq(reader.enable), reader.data.eq(port.data)]
        m.d.comb += [self.items.valid.eq(reader.items.valid), self.items.payload.eq(reader.items.payload)]
        m.d.comb += reader.items.ready.eq(self.items.ready)
        return m


@settings(max_examples=20)
@given(st.tuples(*[st.integers(1, 3)] * 3), st.tuples(*[st.integers(0, 2)] * 4), st.integers(-128, 127), generators())
def test_a_map_is_read_with_its_padding_and_the_last_channel_first(shape, around, zero, generator):
    rows, columns, channels = shape
    top, below, left, beside = around
    stored = generator.integers(-128, 128, shape)
    base = 2
    reader = Reader(base + stored.size, 9, channels)
    # what a kernel does not reach, at the end of a row or of the map, is not read
    unread = int(generator.integers(0, columns)) if not beside else 0
    given_ = {
        "base": base,
        "rows_last": top + rows + below - 1,
        "columns_last": left + columns + beside - unread - 1,
        "top": top,
        "bottom": top + rows,
        "left": left,
        "right": left + columns,
        "channels_last": channels - 1,
        "row_words": columns * channels,
        "zero": zero,
    }
    wanted = np.pad(stored - zero, ((top, below), (left, beside), (0, 0)))[:, : left + columns + beside - unread, ::-1]
    block = Stored(reader, [0] * base + [int(v) & 255 for v in stored.reshape(-1)])
    found = drive(block, given_, "unused", [], "items", wanted.size, generator)
    assert found == wanted.reshape(-1, 1).tolist()
