import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors import QUANTISE, REQUANTISE, ROUND_DIVIDE, ROUND_SHIFT, SATURATE

from horner.program.integer import dequantise, quantise, requantise, round_divide, round_shift, saturate


def nearest(value: Fraction) -> int:
    """The nearest integer, halves away from zero."""
    magnitude = math.floor(abs(value) + Fraction(1, 2))
    return -magnitude if value < 0 else magnitude


@pytest.mark.parametrize(("value", "shift", "result"), ROUND_SHIFT)
def test_round_shift_vectors(value, shift, result):
    assert round_shift(np.array([value], np.int64), shift).tolist() == [result]
    assert nearest(Fraction(value, 1 << shift)) == result


@pytest.mark.parametrize(("value", "divisor", "result"), ROUND_DIVIDE)
def test_round_divide_vectors(value, divisor, result):
    assert round_divide(np.array([value], np.int64), divisor).tolist() == [result]
    assert nearest(Fraction(value, divisor)) == result


@pytest.mark.parametrize(("value", "low", "high", "result"), SATURATE)
def test_saturate_vectors(value, low, high, result):
    stored = saturate(np.array([value], np.int64), low, high)
    assert stored.dtype == np.int8
    assert stored.tolist() == [result]


@pytest.mark.parametrize(("accumulator", "multiplier", "shift", "zero_point", "low", "high", "result"), REQUANTISE)
def test_requantise_vectors(accumulator, multiplier, shift, zero_point, low, high, result):
    stored = requantise(np.array([accumulator], np.int64), multiplier, shift, zero_point, low, high)
    assert stored.dtype == np.int8
    assert stored.tolist() == [result]


@pytest.mark.parametrize(("real", "scale", "zero_point", "result"), QUANTISE)
def test_quantise_vectors(real, scale, zero_point, result):
    stored = quantise(np.array([real]), scale, zero_point)
    assert stored.dtype == np.int8
    assert stored.tolist() == [result]


@given(st.integers(0, 62), st.integers(-(2**63) + 2**62, 2**63 - 1 - 2**62))
def test_round_shift_is_the_nearest_integer(shift, value):
    value >>= max(shift - 62, 0)
    assert round_shift(np.array([value]), shift)[0] == nearest(Fraction(value, 1 << shift))


@given(st.integers(-(2**40), 2**40), st.integers(1, 2**20))
def test_round_divide_is_the_nearest_integer(value, divisor):
    assert round_divide(np.array([value]), divisor)[0] == nearest(Fraction(value, divisor))


@given(st.data())
def test_requantise_is_exact_up_to_the_end_of_int64(data):
    shift = data.draw(st.integers(0, 62))
    multiplier = data.draw(st.integers(-(2**31) + 1, 2**31 - 1))
    largest = (2**63 - 1 - (1 << max(shift - 1, 0))) // max(abs(multiplier), 1)
    accumulator = data.draw(st.integers(-largest, largest))
    zero_point, (low, high) = (
        data.draw(st.integers(-128, 127)),
        sorted(data.draw(st.tuples(*[st.integers(-128, 127)] * 2))),
    )
    wanted = nearest(Fraction(accumulator * multiplier, 1 << shift)) + zero_point
    found = requantise(np.array([accumulator]), multiplier, shift, zero_point, low, high)
    assert found.tolist() == [min(max(wanted, low), high)]


def test_requantise_takes_one_multiplier_per_channel_and_whole_floats():
    sums = np.array([[[10.0]], [[10.0]]])
    found = requantise(sums, np.array([1, 2])[:, None, None], 1, 0, -128, 127)
    assert found.ravel().tolist() == [5, 10]


@given(st.integers(-128, 127), st.integers(-128, 127), st.floats(1e-6, 1e6))
def test_what_is_dequantised_quantises_to_itself(q, zero_point, scale):
    activation = np.array([q], np.int8)
    real = dequantise(activation, scale, zero_point)
    assert real.dtype == np.float32
    assert quantise(real, scale, zero_point).tolist() == [q]
