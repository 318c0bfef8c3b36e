from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import generators
from testbench import drive

from horner.backends.rtl.gather import Gather, Serialise, WideGather
from horner.backends.rtl.streams import bits
from horner.basis import Axis

LARGEST = 255


def items(generator, number, lanes):
    return generator.integers(-LARGEST, LARGEST + 1, (number, lanes)).tolist()


@settings(max_examples=15)
@given(st.integers(1, 9), st.integers(0, 2), st.integers(1, 3), st.integers(1, 3), generators())
def test_the_cascade_gathers_what_the_axis_does(length, degree, segments, lanes, generator):
    """Segments come last first, items too; the last segment may be short."""
    axis = Axis(length, degree=degree)
    short = int(generator.integers(max(1, axis.coefficients), length + 1))
    pieces = [length] * (segments - 1) + [short]
    terms = axis.coefficients
    total = bits(LARGEST * max(axis.gather([1] * length)))
    block = Gather(9, lanes, terms, terms, total, length, segments)
    parts = [items(generator, size, lanes) for size in pieces]
    sent = [item for part in reversed(parts) for item in reversed(part)]
    given_ = {"gathers": 1, "first_last": short - 1, "length_last": length - 1, "groups_last": segments - 1}
    found = drive(block, given_, "items", sent * 2, "sums", 2 * segments, generator)
    wanted = []
    for part in reversed(parts):
        sums = [Axis(len(part), degree=degree).gather(list(lane)) for lane in zip(*part, strict=True)]
        wanted.append([list(order) for order in zip(*sums, strict=True)])
    assert found == wanted * 2


@settings(max_examples=10)
@given(st.integers(1, 6), st.integers(0, 2), generators())
def test_without_gathering_the_cascade_collects(length, more, generator):
    block = Gather(9, 1, length + more, 1, 9, length + more)
    sent = items(generator, length, 1)
    given_ = {"gathers": 0, "first_last": length - 1}
    (found,) = drive(block, given_, "items", sent[::-1], "sums", 1, generator)
    assert found[:length] == sent


@settings(max_examples=15)
@given(st.integers(1, 7), st.integers(0, 3), st.integers(0, 2), generators())
def test_a_whole_vector_is_gathered_at_once(length, more, degree, generator):
    axis = Axis(length, degree=degree)
    terms, lanes = axis.coefficients, length + more
    block = WideGather(9, lanes, terms, bits(LARGEST * max(axis.gather([1] * length))))
    vectors = [row + [0] * more for row in items(generator, 4, length)]
    found = drive(block, {"gathers": 1}, "items", vectors, "sums", 4, generator)
    assert [sums[:terms] for sums in found] == [axis.gather(vector[:length]) for vector in vectors]
    assert drive(block, {"gathers": 0}, "items", vectors, "sums", 4, generator) == vectors


@settings(max_examples=10)
@given(st.integers(1, 4), st.integers(1, 3), generators())
def test_sums_leave_one_by_one(terms, lanes, generator):
    block = Serialise(9, lanes, terms)
    groups = [items(generator, terms, lanes) for _ in range(3)]
    found = drive(block, {"terms_last": terms - 1}, "sums", groups, "items", 3 * terms, generator)
    assert found == [item for group in groups for item in group]
