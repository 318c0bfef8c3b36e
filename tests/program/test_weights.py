import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import positional, ranked

from horner.basis import Axis
from horner.errors import ProgramError
from horner.program.weights import FLOAT_BITS, Positional, Ranked, constant, terms

SHAPES = st.tuples(*[st.integers(1, 7)] * 4)


@given(st.data())
def test_positional_weights_are_the_tucker_form(data):
    weights = data.draw(positional(data.draw(SHAPES)))
    wanted = weights.effective
    for dimension, axis in enumerate(weights.axes):
        wanted = np.moveaxis(np.tensordot(axis.matrix, wanted, (1, dimension)), 0, dimension)
    found = weights.expand()
    assert found.dtype == np.int64
    assert found.shape == weights.shape
    assert np.array_equal(found, wanted)


@given(st.data())
def test_kept_dimensions_stay_coefficients(data):
    weights = data.draw(positional(data.draw(SHAPES)))
    keep = data.draw(st.sets(st.integers(0, 3)))
    partial = weights.expand(keep=tuple(keep))
    assert partial.shape == tuple(
        axis.coefficients if i in keep else axis.length for i, axis in enumerate(weights.axes)
    )
    for dimension in keep:
        matrix = weights.axes[dimension].matrix
        partial = np.moveaxis(np.tensordot(matrix, partial, (1, dimension)), 0, dimension)
    assert np.array_equal(partial, weights.expand())


@given(st.data())
def test_a_coefficient_is_shifted_by_its_family_and_weighs_its_stored_polynomial(data):
    weights = data.draw(positional(data.draw(SHAPES)))
    wanted = np.zeros(weights.core.shape, np.int64)
    for place in np.ndindex(weights.core.shape):
        family = tuple(int(axis.orders[i]) for axis, i in zip(weights.axes, place, strict=True))
        wanted[place] = int(weights.core[place]) << int(weights.shifts[family])
    for dimension, axis in enumerate(weights.axes):
        wanted = np.moveaxis(np.tensordot(axis.stored, wanted, (1, dimension)), 0, dimension)
    assert np.array_equal(weights.expand(), wanted)


@given(st.data())
def test_ranked_weights_are_points_of_their_curve(data):
    weights = data.draw(ranked(data.draw(SHAPES)))
    found = weights.expand()
    assert found.shape == weights.levels.shape
    for place, level in np.ndenumerate(weights.levels):
        curve = weights.core[place[0] % len(weights.core)].astype(int) << weights.shifts
        point = int(level) - weights.zero
        assert found[place] == (0 if point < 0 else weights.curve.stored[point] @ curve)


def test_floats_expand_in_float32():
    core = np.array([0.5, -0.25, 0.125], np.float32)
    axis = Axis(6, degree=2)
    vector = Positional((axis,), core, FLOAT_BITS)
    assert vector.expand().dtype == np.float32
    assert vector.expand().tolist() == (axis.stored @ core.astype(float)).tolist()
    levels = np.array([0, 1, 2, 3], np.uint8).reshape(1, 4, 1, 1)
    weights = Ranked(levels, 2, 2, True, core[None], FLOAT_BITS)
    assert weights.expand().dtype == np.float32
    assert weights.expand().ravel().tolist() == [0.0, *(Axis(3, degree=2).stored @ core.astype(float))]


def test_stored_values_are_counted_as_they_are():
    axes = (Axis(8, 4, 1), Axis(5, degree=2), Axis(3), Axis(5, 3, 1))
    assert Positional(axes, np.zeros((4, 3, 3, 4), int), 4).stored == 4 * 3 * 3 * 4
    levels = np.zeros((5, 2, 3, 3), np.uint8)
    assert Ranked(levels, 3, 2, False, np.zeros((1, 3), int), 8).stored == 90 + 3
    assert Ranked(levels, 3, 2, False, np.zeros((5, 3), int), 8).stored == 90 + 15
    assert constant(3, 100, 4).stored == 1
    assert constant(3, 100, 4).expand().tolist() == [3] * 100


def test_stored_arrays_cannot_be_changed():
    core = np.array([1, 2])
    vector = Positional((Axis(2),), core, 8)
    core[0] = 99
    assert vector.core.tolist() == [1, 2]
    for array in (vector.core, vector.shifts, vector.effective):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        vector.bits = 4


def test_families_are_the_orders_in_use():
    assert [terms(axis) for axis in (Axis(9), Axis(9, degree=0), Axis(9, degree=1), Axis(9, degree=2))] == [1, 1, 2, 3]
    assert terms(Axis(9, 2, 2)) == 2
    assert terms(Axis(1, degree=2)) == 1


@pytest.mark.parametrize("bits", range(2, 17))
def test_coefficients_fill_their_bits_and_no_more(bits):
    limit = 1 << (bits - 1)
    axes = (Axis(2),)
    assert Positional(axes, np.array([-limit, limit - 1]), bits).expand().tolist() == [-limit, limit - 1]
    for wrong in (limit, -limit - 1):
        with pytest.raises(ProgramError, match=f"do not fit {bits} signed bits"):
            Positional(axes, np.array([0, wrong]), bits)


LEVELS = np.zeros((2, 1, 1, 1), np.uint8)
CURVE = np.zeros((1, 2), int)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Positional((Axis(3),), np.zeros(2, int), 8), r"shape \(2,\), the axes want \(3,\)"),
        (lambda: Positional((Axis(3, degree=1),), np.zeros(3, int), 8), r"shape \(3,\), the axes want \(2,\)"),
        (lambda: Positional((Axis(3),), np.zeros((3, 1), int), 8), r"the axes want \(3,\)"),
        (lambda: Positional((Axis(3),), np.zeros(3, int), 1), "of 1 bits; 2 to 16"),
        (lambda: Positional((Axis(3),), np.zeros(3, int), 17), "of 17 bits"),
        (lambda: Positional((Axis(3),), np.array([0, np.nan, 0]), 32), "finite"),
        (lambda: Positional((Axis(3),), np.array([0, np.inf, 0]), 32), "finite"),
        (lambda: Positional((Axis(3),), np.array([0.5, 1, 2]), 8), "whole"),
        (lambda: Positional((Axis(3),), np.array([np.nan, 1, 2]), 8), "whole"),
        (lambda: Positional((Axis(3, degree=1),), np.zeros(2, int), 8, np.zeros(1, int)), r"want \(2,\)"),
        (lambda: Positional((Axis(3),), np.zeros(3, int), 8, np.array([32])), "0 to 31"),
        (lambda: Positional((Axis(3),), np.zeros(3, int), 8, np.array([-1])), "0 to 31"),
        (lambda: Positional((Axis(3),), np.zeros(3), 32, np.array([1])), "float coefficients have no shifts"),
        (lambda: Ranked(LEVELS, 0, 1, False, CURVE, 8), "levels of 0 bits; 1 to 8"),
        (lambda: Ranked(LEVELS, 9, 1, False, CURVE, 8), "levels of 9 bits"),
        (lambda: Ranked(LEVELS, 2, 3, False, CURVE, 8), "degree 3"),
        (lambda: Ranked(LEVELS + 4, 2, 1, False, CURVE, 8), "fit 2 bits"),
        (lambda: Ranked(LEVELS[0], 2, 1, False, CURVE, 8), "must have 4 axes"),
        (lambda: Ranked(LEVELS[:0], 2, 1, False, CURVE, 8), "no elements"),
        (lambda: Ranked(LEVELS + 0.5, 2, 1, False, CURVE, 8), "whole"),
        (lambda: Ranked(LEVELS, 2, 1, False, np.zeros((3, 2), int), 8), r"want \(1 or 2, 2\)"),
        (lambda: Ranked(LEVELS, 1, 2, True, CURVE, 8), r"want \(1 or 2, 1\)"),
        (lambda: Ranked(LEVELS, 2, 1, False, CURVE, 8, np.zeros(3, int)), r"want \(2,\)"),
    ],
)
def test_what_cannot_be_stored_is_refused(make, message):
    with pytest.raises(ProgramError, match=message):
        make()
