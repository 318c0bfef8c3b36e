import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import generators
from testbench import drive

from horner.backends.rtl.window import WideWindow, Window


@st.composite
def slides(draw):
    """Length of a kernel, stride, steps of which the last ends a kernel, items of a step."""
    length, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    steps = length + stride * draw(st.integers(0, 4))
    return length, stride, steps, draw(st.integers(1, 4))


@settings(max_examples=20)
@given(slides(), st.integers(1, 2), st.integers(0, 2), generators())
def test_every_place_of_the_kernel_comes_newest_first(slide, lanes, more, generator):
    length, stride, steps, inner = slide
    maps = generator.integers(-256, 256, (2, steps, inner, lanes))
    depth = (length + more) * (inner + more)
    block = Window(9, lanes, length + more, steps + stride, inner + more, depth)
    given_ = {
        "length_last": length - 1,
        "stride_last": stride - 1,
        "steps_last": steps - 1,
        "inner": inner,
        "top": (length - 1) * inner,
    }
    ends = range(length - 1, steps, stride)
    wanted = [
        one[end - place, item].tolist()
        for one in maps
        for end in ends
        for item in range(inner)
        for place in range(length)
    ]
    sent = maps.reshape(-1, lanes).tolist()
    assert drive(block, given_, "items", sent, "windows", len(wanted), generator) == wanted


@settings(max_examples=20)
@given(slides(), st.integers(0, 2), generators())
def test_all_places_come_at_once(slide, more, generator):
    length, stride, steps, inner = slide
    maps = generator.integers(-256, 256, (2, steps, inner))
    block = WideWindow(9, length + more, length + more, steps + stride, inner + more)
    given_ = {"length_last": length - 1, "stride_last": stride - 1, "steps_last": steps - 1, "inner": inner}
    ends = range(length - 1, steps, stride)
    wanted = np.array([one[end - length + 1 : end + 1, i] for one in maps for end in ends for i in range(inner)])
    found = drive(block, given_, "items", maps.reshape(-1, 1).tolist(), "windows", len(wanted), generator)
    assert np.array_equal(np.array(found)[:, :length], wanted)
    assert not np.array(found)[:, length:].any()
