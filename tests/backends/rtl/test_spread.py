from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import generators
from testbench import drive

from horner.backends.rtl.spread import Spread
from horner.basis import Axis


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(0, 2), st.integers(1, 3), st.integers(0, 1), generators())
def test_the_difference_engine_spreads_what_the_axis_does(length, degree, segments, more, generator):
    axis = Axis(length, degree=degree)
    terms = axis.coefficients
    short = int(generator.integers(terms, length + 1))
    pieces = [length] * (segments - 1) + [short]
    sums = generator.integers(-1000, 1000, (2 * segments, terms)).tolist()
    wanted = [
        y
        for coefficients, size in zip(sums, pieces * 2, strict=True)
        for y in Axis(size, degree=degree).spread(coefficients)
    ]
    block = Spread(24, terms + more, length + more, segments + more)
    given_ = {
        "terms_last": terms - 1,
        "length_last": length - 1,
        "final_last": short - 1,
        "segments_last": segments - 1,
    }
    sent = [value for coefficients in sums for value in coefficients]
    assert drive(block, given_, "sums", sent, "outputs", len(wanted), generator) == wanted
