"""Long runs are coded near their entropy, read back by the words of the specification, and refused when damaged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horner.errors import FileError
from horner.program.bitstream import BitReader, BitWriter
from horner.program.lanes import WHOLE, Lanes, count_of_lanes, decode, encode


def written(lanes: Lanes, before: int = 0) -> BitReader:
    writer = BitWriter()
    writer.uint(0, before)
    lanes.write(writer)
    assert writer.bits == before + lanes.bits
    writer.uint(0b1011, 4)
    return BitReader(writer.finish(), before)


def slowly(reader: BitReader, count: int, bits: int, signed: bool) -> list[int]:
    """Decode number after number, by docs/file-format.md alone."""
    table = min(bits, 8)
    chances = [reader.golomb(8, 1 << 15) for _ in range(1 << table)]
    length = reader.golomb(15, 1 << 30)
    lanes = next(1 << k for k in range(32) if 64 << 2 * k >= count)
    states = [reader.uint(32) for _ in range(lanes)]
    words = iter([reader.uint(16) for _ in range(length)])
    symbols = []
    for i in range(count):
        state = states[i % lanes]
        place, symbol = state % (1 << 15), 0
        while place >= chances[symbol]:
            place -= chances[symbol]
            symbol += 1
        state = chances[symbol] * (state >> 15) + place
        states[i % lanes] = state << 16 | next(words) if state < 1 << 16 else state
        symbols.append(symbol)
    rest = [reader.uint(bits - table) if bits > table else 0 for _ in range(count)]
    offset = 1 << bits - 1 if signed else 0
    return [(symbol << bits - table) + low - offset for symbol, low in zip(symbols, rest, strict=True)]


@st.composite
def runs(draw):
    signed = draw(st.booleans())
    bits = draw(st.integers(2, 16) if signed else st.integers(1, 8))
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    count = draw(st.integers(1, 3000))
    spread = draw(st.floats(0.01, 1 << bits))
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    numbers = np.round(generator.laplace((low + high + 1) // 2, spread, count))
    return np.clip(numbers, low, high).astype(int), bits, signed


@given(runs(), st.integers(0, 9))
def test_a_run_is_read_back_and_what_follows_it_is_found(run, before):
    values, bits, signed = run
    reader = written(encode(values, bits, signed), before)
    np.testing.assert_array_equal(decode(reader, values.size, bits, signed), values)
    assert reader.uint(4) == 0b1011


@settings(max_examples=10)
@given(runs())
def test_the_specification_says_how_to_read_it(run):
    values, bits, signed = run
    assert slowly(written(encode(values, bits, signed)), values.size, bits, signed) == values.tolist()


@pytest.mark.parametrize("count", [1 << 16, 1 << 20])
def test_ternary_levels_come_within_a_fiftieth_of_their_entropy(count):
    values = np.random.default_rng(0).choice(3, count, p=(0.6, 0.3, 0.1))
    _, counts = np.unique(values, return_counts=True)
    entropy = -(counts * np.log2(counts / count)).sum()
    assert entropy < encode(values, 2, False).bits < 1.02 * entropy


def test_chances_are_of_the_whole_and_of_all_that_occurs():
    values = np.repeat(np.arange(256), [1] * 128 + [1 << 10] * 128)
    chances = encode(values, 8, False).chances
    assert chances.sum() == WHOLE
    assert chances.min() == 1
    assert encode(np.zeros(500, int), 8, False).chances.tolist() == [WHOLE] + [0] * 255


def test_lanes_are_few_beside_the_numbers():
    for count in (1, 63, 64, 65, 65_537, 1 << 24):
        lanes = count_of_lanes(count)
        assert 64 * lanes**2 >= count
        assert lanes == 1 or 64 * (lanes // 2) ** 2 < count


def test_a_cut_run_is_refused():
    lanes = encode(np.random.default_rng(0).integers(0, 3, 5000), 2, False)
    short = Lanes(lanes.chances, lanes.states, lanes.words[:-1], lanes.rest, lanes.rest_bits)
    with pytest.raises(FileError, match=r"a coded run of 5000 numbers wants more than its [0-9]+ words"):
        decode(written(short), 5000, 2, False)
    none = Lanes(lanes.chances // 2, lanes.states, lanes.words, lanes.rest, lanes.rest_bits)
    with pytest.raises(FileError, match=r"chances of a coded run sum to [0-9]+, not 32768"):
        decode(written(none), 5000, 2, False)


@given(st.binary(max_size=200), st.integers(1, 300), st.integers(1, 16))
def test_any_bytes_are_decoded_or_refused(data, count, bits):
    reader = BitReader(data)
    try:
        values = decode(reader, count, bits, bits > 8)
    except FileError:
        return
    assert values.shape == (count,)
