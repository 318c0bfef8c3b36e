import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruments import Counted, Tally
from strategies import convs, generators, images, largest_accumulator, programs, sources

from horner.backends.reference import accumulate
from horner.basis import Axis
from horner.errors import ProgramError
from horner.program.bounds import EXACT_DOUBLE, accumulator, accumulator_bits, largest_input
from horner.program.layers import Add, Concat, Conv, Flatten, MaxPool, Output, Value
from horner.program.program import Input, Program
from horner.program.schedule import DENSE, Schedule, possible
from horner.program.weights import FLOAT_BITS, Positional, Ranked, constant


def vector(*values, bits=16, shifts=None):
    return Positional((Axis(len(values)),), np.array(values), bits, shifts)


def conv(axes, core, bits=8, bias=None, shifts=None, output=None):
    weights = Positional(axes, np.array(core), bits, shifts)
    return Conv(0, weights, bias, output or Output(constant(1, weights.shape[0], 2)))


def fully(*weights, bias=None, bits=8, shift=0):
    """One filter over as many channels as there are weights."""
    axes = (Axis(1), Axis(len(weights)), Axis(1), Axis(1))
    shifts = np.array([shift]).reshape(1, 1, 1, 1)
    return conv(axes, np.reshape(weights, (1, -1, 1, 1)), bits, bias, shifts)


@given(st.data())
def test_nothing_an_execution_makes_exceeds_the_bound(data):
    source = data.draw(sources(channels=6, size=6))
    layer = data.draw(convs(source))
    result = layer.infer([source])
    generator = data.draw(generators())
    least, most = -128 - source.zero_point, 127 - source.zero_point
    for schedule in possible(layer):
        bound = accumulator(layer, source, schedule)
        for x in (
            generator.integers(least, most + 1, (1, *source.shape)),
            generator.choice([least, most], (1, *source.shape)),
            np.full((1, *source.shape), most if abs(most) >= abs(least) else least),
        ):
            tally = Tally()
            accumulate(layer, Counted(x.astype(np.int64), tally), source, result, schedule)
            assert tally.peak <= bound, str(schedule)
        assert bound <= largest_accumulator(layer, source)


def test_the_largest_input_depends_on_the_zero_point():
    assert [largest_input(Value((1, 1, 1), zero)) for zero in (0, -128, 127, -1, 10)] == [128, 255, 255, 128, 138]


def test_the_dense_bound_is_attained():
    source = Value((3, 1, 1), zero_point=-128)
    layer = fully(3, -5, 7, bias=vector(-11))
    x = np.array([0, 255, 0]).reshape(1, 3, 1, 1)
    assert accumulator(layer, source, DENSE) == 255 * 15 + 11
    all_positive = fully(3, 5, 7, bias=vector(11))
    found = accumulate(all_positive, np.full_like(x, 255), source, Value((1, 1, 1)), DENSE)
    assert found.item() == accumulator(all_positive, source, DENSE)


@pytest.mark.parametrize("nodes", ["index", "pow2"])
@pytest.mark.parametrize("degree", [1, 2])
def test_the_bound_of_reuse_is_attained_where_nothing_is_subtracted(degree, nodes):
    axes = (Axis(4, degree=1), Axis(4, degree=1), Axis(3, degree=1), Axis(5, degree=degree, nodes=nodes))
    core = np.multiply.outer(np.multiply.outer([8, 1], [8, 1]), np.multiply.outer([8, 1], [10, 5, 1][: degree + 1]))
    layer = conv(axes, core, bits=16, bias=constant(9, 4, 8))
    assert (layer.weights.effective >= 0).all()
    source = Value((4, 3, 5), zero_point=-128)
    x = np.full((1, 4, 3, 5), 255)
    exact = 0
    for schedule in possible(layer):
        bound = accumulator(layer, source, schedule)
        found = accumulate(layer, x, source, layer.infer([source]), schedule)
        if nodes == "index" or degree == 1 or "col" not in schedule.reused:
            assert bound == found.max(), str(schedule)
            exact += 1
        else:  # q 2**(2k - 1) - q 2**(k - 1): the bound cannot know that one is part of the other
            assert bound >= found.max()
    assert exact >= 8


def test_a_gathered_sum_larger_than_every_result_counts():
    # the coefficient of the quadratic sum is zero, but the sum is formed
    axes = (Axis(1), Axis(1), Axis(1), Axis(9, degree=2))
    layer = conv(axes, np.zeros((1, 1, 1, 3), int))
    source = Value((1, 1, 9), zero_point=-128)
    assert accumulator(layer, source, DENSE) == 0
    assert accumulator(layer, source, Schedule(frozenset({"col"}))) == 255 * 84


def test_a_bias_polynomial_is_bounded_by_its_values():
    bias = Positional((Axis(4, degree=1),), np.array([25, -25]), 16)  # 100, 50, 0, -50
    axes = (Axis(4), Axis(1), Axis(1), Axis(1))
    layer = conv(axes, np.ones((4, 1, 1, 1), int), bias=bias)
    assert accumulator(layer, Value((1, 1, 1)), DENSE) == 128 + 100


def test_by_level_bounds_the_sums_over_levels():
    levels = np.array([0, 1, 2, 3], np.uint8).reshape(1, 4, 1, 1)
    layer = Conv(0, Ranked(levels, 2, 1, False, np.array([[4, 1]]), 8), None, Output(constant(1, 1, 2)))
    source = Value((4, 1, 1), zero_point=-128)
    assert accumulator(layer, source, DENSE) == 255 * (1 + 3 + 5 + 7)
    assert accumulator(layer, source, Schedule(by_level=True)) >= 255 * 4 * 3


def test_accumulators_are_32_bits_wide_up_to_the_last_integer():
    source = Value((3, 1, 1), zero_point=-128)
    rest = 2**31 - 1 - 255 * (3 * 21931 << 7)
    for bias, bits in ((rest, 32), (rest + 1, 64), (-rest, 32), (-rest - 1, 64)):
        layer = fully(21931, 21931, 21931, bits=16, shift=7, bias=vector(bias))
        assert accumulator(layer, source, DENSE) == 2**31 - 1 + abs(bias) - rest
        assert accumulator_bits(layer, source, DENSE) == bits


def test_bounds_beyond_float64_err_on_the_safe_side():
    source = Value((3, 1, 1), zero_point=-128)
    layer = fully(2**14 + 1, 2**14 + 1, 2**14 - 1, bits=16, shift=31, bias=vector(1))
    exact = 255 * ((3 * 2**14 + 1) << 31) + 1
    assert exact > EXACT_DOUBLE
    assert exact <= accumulator(layer, source, DENSE) <= exact * (1 + 1e-8)


@given(programs(integer=True), generators())
def test_a_program_that_is_accepted_runs_without_overflow(program, generator):
    """Python integers of any size give what int64 gave."""
    values = [images(program, generator, 1)]
    for layer, value in zip(program.layers, program.values[1:], strict=True):
        values.append(generator.integers(-128, 128, (1, *value.shape), np.int8))
        if isinstance(layer, Conv):
            source = program.values[layer.source]
            x = values[layer.source].astype(np.int64) - source.zero_point
            sums = accumulate(layer, x, source, value, DENSE).astype(object)
            products = sums * layer.output.multiplier.expand().astype(object)[:, None, None]
            half = 1 << max(layer.output.shift - 1, 0)
            assert abs(products).max() + half < 2**63


SOURCE = Input((2, 1, 1), zero_point=-128)
FIRST = MaxPool(0, (1, 1), (1, 1))


def too_large(shift, bits=16, **output):
    axes = (Axis(1), Axis(2), Axis(1), Axis(1))
    weights = Positional(axes, np.full((1, 2, 1, 1), 2**15 - 1), bits, np.full((1, 1, 1, 1), shift))
    return Conv(1, weights, None, Output(**output))


def long_bias():
    """A bias that as int64 just exists."""
    bias = Positional((Axis(4096, degree=2),), np.full(3, 2**15 - 1), 16, np.full(3, 20))
    axes = (Axis(4096, degree=0), Axis(2), Axis(1), Axis(1))
    return Conv(1, Positional(axes, np.ones((1, 2, 1, 1), int), 8), bias, Output(constant(127, 4096, 8)))


def too_shifted():
    """Coefficients that as int64 do not exist."""
    axes = (Axis(1024, degree=2), Axis(2), Axis(1), Axis(1))
    weights = Positional(axes, np.full((3, 2, 1, 1), 2**15 - 1), 16, np.full((3, 1, 1, 1), 31))
    return Conv(1, weights, None, Output(constant(1, 1024, 2)))


PLAIN = Positional((Axis(1), Axis(2), Axis(1), Axis(1)), np.ones((1, 2, 1, 1), int), 8)
FLOATS = Positional((Axis(1), Axis(2), Axis(1), Axis(1)), np.ones((1, 2, 1, 1)), FLOAT_BITS)
GROWING = Positional((Axis(1),), np.array([2**15 - 1]), 16, np.array([31]))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (too_large(31, multiplier=vector(2**10)), r"\(Conv\): sums up to \d+ times 1024 overflow int64; store fewer"),
        (too_large(0, multiplier=GROWING), r"\(Conv\): multipliers up to \d+ are wider than int32"),
        (too_shifted(), r"\(Conv\): coefficients shifted by up to 31 overflow 62 bits"),
        (long_bias(), r"\(Conv\): sums up to \d+ times 127 overflow int64"),
        (Conv(1, PLAIN, None, Output(constant(1, 1, 2), shift=63)), r"\(Conv\): a shift of 63; 0 to 62"),
        (Conv(1, PLAIN, None, Output(constant(1, 1, 2), shift=-1)), r"\(Conv\): a shift of -1"),
        (Conv(1, PLAIN, None, Output(constant(1, 1, 2), zero_point=128)), r"\(Conv\): zero point 128 is not int8"),
        (Conv(1, PLAIN, None, Output(constant(1, 1, 2), low=3, high=2)), r"\(Conv\): the clamp 3..2"),
        (Conv(1, PLAIN, None, Output(constant(1, 1, 2), high=128)), r"\(Conv\): the clamp -128..128"),
        (Conv(1, PLAIN, None, Output(constant(1, 1, 2), low=float("nan"))), r"\(Conv\): the clamp nan..127"),
        (Conv(1, FLOATS, None, Output(constant(1, 1, 32))), r"\(Conv\): 32-bit weights in a program of int8"),
        (Add((1,), (2**31,)), r"\(Add\): .*2147483648 .*wider than int32"),
        (Add((1,), (-(2**31),)), r"\(Add\): .*2147483648 .*wider than int32"),
        (Add((1,), (1,), shift=63), r"\(Add\): a shift of 63"),
        (Add((1,), (1,), zero_point=-129), r"\(Add\): zero point -129"),
        (Add((1,), (1,), low=-129), r"\(Add\): the clamp -129..127"),
        (Concat((1,), (2**31,)), r"\(Concat\): .*2147483648 .*wider than int32"),
        (Concat((1,), (1,), shift=-1), r"\(Concat\): a shift of -1"),
    ],
)
def test_arithmetic_that_could_overflow_is_refused_and_the_layer_named(layer, message):
    with pytest.raises(ProgramError, match="^layer 1 " + message):
        Program(SOURCE, (FIRST, layer))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Conv(1, PLAIN, None, Output(constant(1, 1, 2))), r"\(Conv\): 8-bit weights in a program of float32"),
        (Conv(1, FLOATS, None, Output(constant(1, 1, 32), shift=1)), r"\(Conv\): shift 1 and zero point 0; a float32"),
        (Conv(1, FLOATS, None, Output(constant(1, 1, 32), 0, 0, 2.0, 1.0)), r"\(Conv\): the clamp 2.0..1.0 is empty"),
        (Add((1, 1), (1, 2)), r"\(Add\): multipliers \(1, 2\); a float32 program has only 1"),
        (Add((1,), (1,), zero_point=4), r"\(Add\): shift 0 and zero point 4"),
        (Concat((1,), (3,)), r"\(Concat\): multipliers \(3,\)"),
    ],
)
def test_float_programs_have_no_integers_in_them(layer, message):
    with pytest.raises(ProgramError, match="^layer 1 " + message):
        Program(Input((2, 1, 1), arithmetic="float32"), (FIRST, layer))


def test_sums_must_fit_even_where_the_multiplier_is_zero():
    axes = (Axis(1), Axis(2**16, degree=0), Axis(1), Axis(1))
    weights = Positional(axes, np.full((1, 1, 1, 1), 2**15 - 1), 16, np.full((1, 1, 1, 1), 31))
    with pytest.raises(ProgramError, match=r"\(Conv\): sums up to \d+ times 0 overflow int64"):
        Program(Input((2**16, 1, 1)), (Conv(0, weights, None, Output(constant(0, 1, 2))),))


def test_a_layer_too_large_to_expand_is_refused():
    shape = (65536, 65536, 1, 1)
    axes = tuple(Axis(n, degree=0) for n in shape)
    layer = Conv(0, Positional(axes, np.ones((1, 1, 1, 1), int), 2), None, Output(constant(1, 65536, 2)))
    message = r"layer 0 \(Conv\): weights of shape \(65536, 65536, 1, 1\) are too large to expand"
    with pytest.raises(ProgramError, match=message):
        Program(Input((65536, 1, 1)), (layer,))


def test_a_small_file_of_large_axes_is_bounded_without_expanding_it():
    axes = (Axis(2**15, degree=2), Axis(2**15, degree=2), Axis(1), Axis(1))
    core = np.ones((3, 3, 1, 1), int)
    layer = Conv(0, Positional(axes, core, 2), None, Output(constant(1, 2**15, 2)))
    with pytest.raises(ProgramError, match="overflow int64"):
        Program(Input((2**15, 1, 1)), (layer,))
    assert Program(Input((4, 1, 1)), (Flatten(0),)).output.shape == (4, 1, 1)
