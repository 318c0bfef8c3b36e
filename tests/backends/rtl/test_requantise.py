import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import generators
from testbench import drive

from horner.backends.rtl.requantise import Requantise
from horner.program.integer import requantise


@settings(max_examples=20)
@given(st.integers(0, 12), st.integers(1, 4), st.integers(-128, 127), st.data(), generators())
def test_it_is_the_arithmetic_of_every_backend(shift, filters, zero, data, generator):
    low = data.draw(st.integers(-128, 126))
    high = data.draw(st.integers(low, 127))
    biases = generator.integers(-500, 500, filters)
    multipliers = generator.integers(-60, 60, filters)
    # halves included, of both signs
    sums = np.concatenate(
        [generator.integers(-3000, 3000, (4, filters)), np.full((1, filters), 1 << shift >> 1) - biases]
    )
    other = [(7, 7)] * 2
    block = Requantise(14, shift, 7, other + [(int(b), int(m)) for b, m in zip(biases, multipliers, strict=True)])
    given_ = {"base": 2, "filters_last": filters - 1, "zero": zero, "low": low, "high": high}
    wanted = requantise(sums + biases, multipliers, shift, zero, low, high)
    found = drive(block, given_, "sums", sums.reshape(-1).tolist(), "activations", sums.size, generator)
    assert found == wanted.reshape(-1).tolist()
