import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horner.backends import reference
from horner.backends.c.rescale import rescale
from horner.basis import Axis
from horner.program.integer import INT32_HIGH
from horner.program.layers import Conv, Output
from horner.program.program import Input, Program
from horner.program.weights import Positional, constant


def output(multipliers, shift, zero_point=0, low=-128, high=127):
    values = np.array(multipliers)
    return Output(Positional((Axis(len(values)),), values, 16), shift, zero_point, low, high)


@given(
    st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=4),
    st.integers(0, 62),
    st.integers(-128, 127),
    st.integers(0, 2**40),
    st.booleans(),
)
def test_no_product_leaves_its_type_and_what_is_clamped_saturates(multipliers, shift, zero_point, bound, small):
    found = rescale(output(multipliers, shift, zero_point), bound, small)
    most, half = max(map(abs, multipliers)), (1 << shift) >> 1
    if found.form == "direct":
        assert bound * most + half <= INT32_HIGH
    if found.form == "clamped":
        assert found.limit * most + half <= INT32_HIGH
        for multiplier in filter(None, multipliers):
            beyond = (found.limit * abs(multiplier) + half) >> shift
            assert zero_point + beyond >= 127
            assert zero_point - beyond <= -128
    if found.form == "split":
        assert bound <= INT32_HIGH
        assert most * found.factor < 2**16
        assert found.shift - shift == found.factor.bit_length() - 1
        assert 17 <= found.shift <= 47


FORMS = {
    "direct": ([3, 5, 0], 6),
    "clamped": ([20000, 31000, 25000], 16),
    "split": ([3, -30000, 7], 20),
    "split, factor": ([1, -8000, 0], 14),
    "wide": ([1, -30000, 7], 10),
    "none": ([1, 1, 1], 0),
}


@pytest.mark.parametrize("target", ["generic", "cortex-m0plus"])
@pytest.mark.parametrize("name", FORMS)
def test_every_form_rounds_and_saturates_as_the_reference_over_the_whole_range(build_all, name, target):
    """Weights of every magnitude: sums from a few units to 2**30, of either sign."""
    multipliers, shift = FORMS[name]
    scales = 1 << np.arange(0, 15, 2)
    core = (np.array([1, 1, -1])[:, None] * scales).reshape(3, len(scales), 1, 1)
    large = name not in ("direct", "none")
    weights = Positional((Axis(3), Axis(len(scales)), Axis(1), Axis(1)), core if large else core % 251, 16)
    bias = Positional((Axis(3),), np.array([2**14, -(2**14), 77]), 16, np.array([15 * large], np.uint8))
    outputs = output(multipliers, shift, -3, -100, 127)
    program = Program(Input((len(scales), 1, 1), 1.0, -20), (Conv(0, weights, bias, outputs),))
    generator = np.random.default_rng(0)
    images = generator.integers(-128, 128, (4000, len(scales), 1, 1), np.int8)
    images[:2000] = np.where(generator.random((2000, len(scales), 1, 1)) < 0.7, -20, images[:2000])
    compiled = build_all([program], target=target)[0]
    np.testing.assert_array_equal(compiled(images), reference.run(program, images))
    wanted = {"direct": "round32(sum", "wide": "round64(", "none": "saturate(sum"}
    if target == "cortex-m0plus" or "clamped" not in name:
        wanted |= {"split": "rescale(sum, conv", "split, factor": "* 8, 17)", "clamped": "rescale("}
    else:
        wanted |= {"clamped": "round32(clamp("}
    source = compiled.source.source
    assert wanted[name].replace("conv", "linear1_multiplier") in source, source


def test_a_multiplier_that_all_filters_share_is_a_number(build_all):
    weights = Positional((Axis(2), Axis(1), Axis(1), Axis(1)), np.array([5, -7]).reshape(2, 1, 1, 1), 8)
    program = Program(Input((1, 2, 2)), (Conv(0, weights, None, Output(constant(25379, 2, 16), 19)),))
    images = np.arange(-128, 128, dtype=np.int8).reshape(-1, 1, 2, 2)
    compiled = build_all([program])[0]
    np.testing.assert_array_equal(compiled(images), reference.run(program, images))
    assert "round32(sum * 25379, 19)" in compiled.source.source
