import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import generators
from testbench import drive

from horner.backends.rtl.array import PE, Array


@settings(max_examples=12)
@given(st.tuples(*[st.integers(1, 3)] * 6), st.booleans(), generators())
def test_windows_that_slide_are_multiplied_by_every_filter(sizes, slides, generator):
    rows, columns, passes, kernel, inner, positions = sizes
    taps, advance = kernel * inner, inner if slides else kernel * inner
    operands = generator.integers(-256, 256, (2, (positions - 1) * advance + taps, rows))
    filters = int(generator.integers((passes - 1) * columns + 1, passes * columns + 1))
    weights = np.zeros((passes * columns, taps, rows), int)
    weights[:filters] = generator.integers(-128, 128, (filters, taps, rows))
    words = [0] * 3  # of another layer
    for turn in range(passes):
        for tap in range(taps):
            lanes = weights[turn * columns : (turn + 1) * columns, tap].reshape(-1)
            words.append(sum((int(w) & 255) << (8 * i) for i, w in enumerate(lanes)))
    block = Array(rows, columns, 9, 8, 24, taps + 1, passes + 1, positions + 1, words)
    given_ = {
        "taps": taps,
        "advance": advance,
        "positions_last": positions - 1,
        "passes_last": passes - 1,
        "columns_last": columns - 1,
        "tail_last": (filters - 1) % columns,
        "base": 3,
    }
    wanted = [
        int((weights[f] * line[at : at + taps]).sum())
        for line in operands
        for at in range(0, positions * advance, advance)
        for f in range(filters)
    ]
    sent = operands.reshape(-1, rows).tolist()
    assert drive(block, given_, "items", sent, "sums", len(wanted), generator) == wanted


def test_a_processing_element_has_one_multiplier_and_one_adder():
    from amaranth.back import rtlil

    text = rtlil.convert(PE(9, 8, 24))
    assert (text.count("cell $mul"), text.count("cell $add")) == (1, 1)
