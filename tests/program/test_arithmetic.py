"""Coded runs are decoded to the same numbers, end where they say, and cannot be long in few bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horner.errors import FileError
from horner.program.arithmetic import FEWEST, MOST, MOST_SAVED, Decoder, Encoder, Signed, Unsigned, decode, encode
from horner.program.bitstream import VERSION, BitReader, BitWriter


def run(values, bits, model, version=VERSION):
    """Encode whatever the length."""
    encoder, chances = Encoder(), model(bits, version)
    for value in values:
        chances.code(encoder, value)
    return encoder.finish()


@given(st.integers(1, 16), st.integers(0, 9), st.booleans(), st.integers(1, VERSION), st.data())
def test_a_coded_run_is_decoded_and_what_follows_it_is_found(bits, before, signed, version, data):
    bits = bits if signed else min(bits, 8)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    values = data.draw(st.lists(st.integers(low, high), max_size=60))
    model = Signed if signed else Unsigned
    writer = BitWriter()
    writer.uint(0, before)
    writer.array(run(values, bits, model, version), 1)
    end = writer.bits
    writer.uint(0b1011, 4)
    reader = BitReader(writer.finish(), before)
    decoder, chances = Decoder(reader), model(bits, version)
    assert [chances.code(decoder, 0) for _ in values] == values
    decoder.finish()
    assert reader.position == end
    assert reader.uint(4) == 0b1011


def test_laplacian_coefficients_come_close_to_their_entropy():
    values = np.clip(np.round(np.random.default_rng(0).laplace(0, 4, 2000)), -32, 31).astype(int)
    _, counts = np.unique(values, return_counts=True)
    entropy = -(counts * np.log2(counts / counts.sum())).sum()
    digits = encode(values, 6, Signed)
    assert digits is not None
    assert digits.size < 1.03 * entropy < 0.85 * 6 * values.size


def test_the_lowest_number_has_no_sign_since_version_4():
    values = np.random.default_rng(0).choice((-2, -1, 0, 1), 3000, p=(0.1, 0.25, 0.4, 0.25))
    former, present = (run(values.tolist(), 2, Signed, version).size for version in (3, 4))
    assert abs(former - present - (values == -2).sum()) < 20  # a bit each, and what it took to learn the digit after it
    _, counts = np.unique(values, return_counts=True)
    assert present < -1.01 * (counts * np.log2(counts / counts.sum())).sum()


def test_numbers_without_structure_stay_plain():
    assert encode(np.random.default_rng(0).integers(-32, 32, 1000), 6, Signed) is None


@pytest.mark.parametrize("count", [FEWEST - 1, MOST + 1])
def test_runs_that_are_too_short_or_too_long_stay_plain(count):
    assert encode(np.arange(count) % 3 - 1, 8, Signed) is None


def test_a_run_that_saves_too_much_stays_plain_and_is_refused():
    zeros = np.zeros(MOST, int)
    assert encode(zeros, 4, Signed) is None
    digits = run(zeros.tolist(), 4, Signed)
    writer = BitWriter()
    writer.array(digits, 1)
    with pytest.raises(FileError, match="a coded run of 65536 numbers of 4 bits takes"):
        decode(BitReader(writer.finish()), zeros.size, 4, Signed)
    writer = BitWriter()
    writer.array(digits, 1)
    writer.array(np.zeros(zeros.size * 4 // MOST_SAVED, int), 1)
    with pytest.raises(FileError, match="coded in less than 1/8"):
        decode(BitReader(writer.finish()), zeros.size, 4, Signed)


@given(st.binary(max_size=60), st.integers(1, 200), st.integers(2, 16))
def test_any_bytes_are_decoded_or_refused(data, count, bits):
    reader = BitReader(data)
    try:
        values = decode(reader, count, bits, Signed)
    except FileError:
        return
    assert values.shape == (count,)
    assert reader.remaining >= 0


@given(st.integers(FEWEST, 40), st.integers(1, 12), st.booleans(), st.integers(1, VERSION), st.data())
def test_what_is_decoded_is_what_would_be_encoded(count, bits, signed, version, data):
    bits, model = (bits, Signed) if signed else (min(bits, 8), Unsigned)
    digits = data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=count * bits))
    if data.draw(st.booleans()):  # half of them a coded run to its last digits but two
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        values = data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
        digits = [*run(values, bits, model, version)[:-2].tolist(), *digits]
    writer = BitWriter()
    writer.array(np.array(digits), 1)
    reader = BitReader(writer.finish(), version=version)
    try:
        values = decode(reader, count, bits, model)
    except FileError:
        assert not reader.coded
        return
    wanted = encode(values, bits, model, version)
    assert reader.coded == {0: wanted.size}
    assert digits[: wanted.size] == wanted.tolist()[: len(digits)]
