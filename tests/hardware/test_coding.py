import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horner.hardware.coding import coded_bits, coded_ratio


def pairs_of(values):
    """The pairs as hardware makes them, one value after the other."""
    pairs, run = 0, 0
    for value in values:
        if value == 0 and run < 31:
            run += 1
        else:
            pairs, run = pairs + 1, 0
    return pairs + (run > 0)


@given(st.lists(st.sampled_from([0, 0, 0, 0, 1, -5]), max_size=300) | st.integers(0, 200).map(lambda n: [0] * n))
def test_bits_are_those_of_coding_value_by_value(values):
    assert coded_bits(np.array(values, int)) == -(-pairs_of(values) // 3) * 64


@pytest.mark.parametrize("zeros", [0.3, 0.5, 0.75, 0.9, 0.98])
def test_the_ratio_is_that_of_independent_zeros(zeros):
    values = np.random.default_rng(0).random(200_000) >= zeros
    assert coded_ratio(zeros) == pytest.approx(coded_bits(values) / (16 * values.size), rel=0.02)


def test_the_ratio_is_never_above_one_and_falls_with_zeros():
    ratios = [coded_ratio(zeros / 100) for zeros in range(101)]
    assert ratios[0] == 1
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] == pytest.approx(64 / 3 / 32 / 16)
