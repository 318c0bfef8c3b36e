import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruments import Counted, Tally
from strategies import convs, sources

from horner.backends.reference import accumulate
from horner.basis import Axis
from horner.program.layers import Conv, Output, Value
from horner.program.schedule import DENSE, Counts, Schedule, core, count, plan, possible
from horner.program.weights import Positional, Ranked, constant


def conv(axes, groups=1, bias=False, **geometry):
    shape = tuple(axis.coefficients for axis in axes)
    out = axes[0].length
    vector = constant(1, out, 8)
    weights = Positional(axes, np.ones(shape, np.int32), 8)
    return Conv(0, weights, vector if bias else None, Output(vector), groups=groups, **geometry)


@given(st.data())
def test_counts_are_those_of_an_execution(data):
    source = data.draw(sources(channels=6, size=6))
    layer = data.draw(convs(source))
    result = layer.infer([source])
    for schedule in possible(layer):
        tally = Tally()
        x = Counted(np.ones((1, *source.shape), np.int64), tally)
        sums = accumulate(layer, x, source, result, schedule)
        assert sums.shape == (1, *result.shape)
        wanted = Counts(tally.multiplications, tally.additions, result.size)
        assert count(layer, source, result, schedule) == wanted, str(schedule)


def test_the_dense_schedule_is_the_convolution_everyone_counts():
    source = Value((3, 9, 9))
    layer = conv((Axis(8), Axis(3), Axis(3), Axis(3)), bias=True, padding=(1, 1))
    counts = count(layer, source, layer.infer([source]), DENSE)
    assert counts == Counts(8 * 27 * 81, 8 * 26 * 81 + 8 * 81, 8 * 81)


def test_reuse_multiplies_once_per_coefficient_and_position():
    source = Value((4, 9, 9))
    layer = conv((Axis(8, 4, 1), Axis(4, degree=1), Axis(3), Axis(5, degree=1)))
    result = layer.infer([source])
    counts = count(layer, source, result, Schedule(frozenset({"out", "in", "col"})))
    assert counts.multiplications == layer.weights.stored * 7 * 5 == 4 * 2 * 3 * 2 * 7 * 5


def test_possible_schedules_are_every_subset_of_the_polynomial_axes():
    layer = conv((Axis(8, 4, 1), Axis(4), Axis(3, degree=1), Axis(3, degree=2)))
    names = ("out", "row", "col")
    subsets = {frozenset(c) for n in range(4) for c in itertools.combinations(names, n)}
    assert {schedule.reused for schedule in possible(layer)} == subsets
    assert possible(layer)[0] == DENSE
    assert len(possible(layer)) == len(subsets)
    levels = np.zeros((2, 1, 1, 1), np.uint8)
    ranked = dataclasses.replace(
        layer, weights=Ranked(levels, 2, 1, False, np.ones((1, 2), int), 4), bias=None, output=Output(constant(1, 2, 8))
    )
    assert possible(ranked) == [DENSE, Schedule(by_level=True)]


def test_filters_of_one_segment_must_see_the_same_channels_to_be_spread():
    axes = (Axis(8, 4, 1), Axis(2), Axis(1), Axis(1))
    assert Schedule(frozenset({"out"})) in possible(conv(axes, groups=2))
    assert possible(conv(axes, groups=4)) == [DENSE]


@given(st.data())
def test_the_plan_is_the_cheapest_of_all(data):
    source = data.draw(sources())
    layer = data.draw(convs(source))
    result = layer.infer([source])
    chosen = plan(layer, source, result)

    def total(schedule):
        counts = count(layer, source, result, schedule)
        return counts.multiplications + counts.additions

    assert chosen in possible(layer)
    assert total(chosen) == min(map(total, possible(layer)))


def test_reuse_that_costs_more_is_not_chosen():
    # one filter, one position: gathering cannot pay; many filters over the same sums: it does
    kernel = (Axis(1), Axis(1), Axis(5, degree=1))
    source = Value((1, 8, 8))
    few, many = conv((Axis(1), *kernel)), conv((Axis(64), *kernel))
    assert plan(many, source, many.infer([source])) == Schedule(frozenset({"col"}))
    short = conv((Axis(1), Axis(1), Axis(1), Axis(2, degree=1)))
    assert plan(short, source, short.infer([source])) == DENSE
    assert count(few, source, few.infer([source]), Schedule(frozenset({"col"}))).additions == 8 * 4 * (7 + 1)


@given(st.data())
def test_the_core_has_one_factor_per_multiplication_of_a_position(data):
    source = data.draw(sources(channels=4, size=5))
    layer = data.draw(convs(source))
    result = layer.infer([source])
    for schedule in possible(layer):
        factors = core(layer, schedule)
        if schedule.by_level:  # every filter multiplies by its curve, be it the one of the layer
            factors = np.broadcast_to(factors, (result.shape[0], factors.shape[1]))
        positions = result.shape[1] * result.shape[2]
        assert count(layer, source, result, schedule).multiplications == factors.size * positions


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (DENSE, "dense"),
        (Schedule(frozenset({"col", "out"})), "out col"),
        (Schedule(by_level=True), "by level"),
    ],
)
def test_a_schedule_prints_its_axes_in_order(schedule, text):
    assert str(schedule) == text


def test_counts_add_up():
    assert Counts(1, 2, 3) + Counts(10, 20, 30) == Counts(11, 22, 33)
