"""Where weights lie in the memory of an accelerator."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import chains

from horner.backends.rtl.design import design
from horner.program.layers import Conv


def convolutions(program):
    return [layer for layer in program.layers if isinstance(layer, Conv)]


@given(chains(), st.integers(1, 4))
def test_every_weight_has_its_place(program, columns):
    if any(layer.stride[i] > layer.weights.shape[i + 2] > 1 for layer in convolutions(program) for i in (0, 1)):
        return
    made = design(program, 5, columns)
    width = made.widths["weight"]
    lanes = made.rows * made.columns
    assert all(0 <= word < 1 << (width * lanes) for word in made.words)
    assert len(made.words) == sum(step.taps * step.passes for step in made.steps)
    of_cores = sum(np.count_nonzero(step.core) for step in made.steps)
    stored = sum(word >> (width * lane) & ((1 << width) - 1) != 0 for word in made.words for lane in range(lanes))
    assert stored == of_cores
