"""Fields written to bits are read back, and nothing is read past the end."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horner.errors import FileError
from horner.program.bitstream import CHUNK, BitReader, BitWriter

FIELDS = st.one_of(
    st.integers(1, 64).flatmap(lambda n: st.tuples(st.just("uint"), st.integers(0, (1 << n) - 1), st.just(n))),
    st.integers(1, 64).flatmap(
        lambda n: st.tuples(st.just("sint"), st.integers(-(1 << n - 1), (1 << n - 1) - 1), st.just(n))
    ),
    st.tuples(st.just("golomb"), st.integers(0, 1 << 24), st.integers(0, 8)),
    st.tuples(st.just("float32"), st.floats(width=32, allow_nan=False), st.just(32)),
)


@given(st.lists(FIELDS, max_size=30))
def test_fields_are_read_back_in_order(fields):
    writer = BitWriter()
    for kind, value, width in fields:
        getattr(writer, kind)(*((value,) if kind == "float32" else (value, width)))
    bits = writer.bits
    reader = BitReader(writer.finish())
    for kind, value, width in fields:
        read = {
            "uint": lambda width=width: reader.uint(width),
            "sint": lambda width=width: reader.sint(width),
            "golomb": lambda width=width: reader.golomb(width, 1 << 24),
            "float32": reader.float32,
        }[kind]()
        assert read == value
    assert reader.position == bits
    assert reader.remaining < 8


@given(st.integers(1, 32), st.integers(0, 9), st.data())
def test_an_array_is_the_same_bits_as_its_numbers_one_by_one(bits, before, data):
    values = data.draw(st.lists(st.integers(-(1 << bits - 1), (1 << bits - 1) - 1), max_size=20))
    whole, single = BitWriter(), BitWriter()
    for writer in (whole, single):
        writer.uint(0, before)
    whole.array(np.array(values, np.int64), bits)
    for value in values:
        single.sint(value, bits)
    assert whole.bits == single.bits
    assert whole.finish() == single.finish()


@pytest.mark.parametrize("bits", [1, 5, 12, 32])
def test_long_arrays_cross_chunks(bits):
    values = np.random.default_rng(bits).integers(0, 1 << bits, 2 * CHUNK + 17)
    writer = BitWriter()
    writer.uint(5, 3)
    writer.array(values, bits)
    writer.uint(2, 2)
    reader = BitReader(writer.finish())
    assert reader.uint(3) == 5
    assert np.array_equal(reader.array(values.size, bits), values)
    assert reader.uint(2) == 2


@pytest.mark.parametrize(
    ("value", "order", "code"),
    [(0, 0, "1"), (1, 0, "010"), (2, 0, "011"), (3, 0, "00100"), (0, 3, "1000"), (7, 3, "1111"), (8, 3, "010000")],
)
def test_numbers_have_the_published_exponential_golomb_codes(value, order, code):
    writer = BitWriter()
    writer.golomb(value, order)
    bits = writer.bits
    assert f"{int.from_bytes(writer.finish(), 'big') >> -bits % 8:0{bits}b}" == code


@pytest.mark.parametrize(
    ("method", "value", "bits"), [("uint", 8, 3), ("uint", -1, 3), ("sint", 4, 3), ("sint", -5, 3)]
)
def test_a_value_that_does_not_fit_is_not_written(method, value, bits):
    with pytest.raises(ValueError, match=f"{value} does not fit"):
        getattr(BitWriter(), method)(value, bits)


def test_bits_are_counted_by_part():
    writer = BitWriter()
    writer.part = "a"
    writer.uint(1, 3)
    writer.part = "b"
    writer.array(np.arange(4), 2)
    assert writer.tally == {"a": 3, "b": 8}


def test_reading_past_the_end_is_refused():
    reader = BitReader(b"\xff", 5)
    with pytest.raises(FileError, match="takes 4 bits where 3 remain"):
        reader.uint(4)
    assert reader.uint(3) == 7


def test_an_array_longer_than_the_data_is_refused_before_it_is_allocated():
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="where 80 remain"):
            BitReader(bytes(10)).array(1 << 40, 8)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_number_above_its_limit_or_with_an_endless_prefix_is_refused():
    writer = BitWriter()
    writer.golomb(9, 2)
    with pytest.raises(FileError, match="a number 9 where at most 8"):
        BitReader(writer.finish()).golomb(2, 8)
    with pytest.raises(FileError, match="more than 32 zeros"):
        BitReader(bytes(20)).golomb(0, 8)
