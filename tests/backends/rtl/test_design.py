import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import chains, programs

from horner import load, zoo
from horner.backends.rtl.design import SLOWER, baseline, design
from horner.errors import ArchitectureError
from horner.program.layers import Conv, MaxPool


@pytest.fixture(scope="module")
def lenet():
    return load(zoo.find("zoo:lenet5"))


def test_a_baseline_is_as_fast_and_multiplies_every_weight(lenet):
    reuses = design(lenet, 3, 4)
    dense = baseline(lenet, reuses)
    assert dense.rows == 5
    assert dense.cycles <= SLOWER * reuses.cycles
    assert design(lenet, 5, dense.columns - 1, reuse=False).cycles > SLOWER * reuses.cycles
    assert all(not step.schedule.reused for step in dense.steps)
    assert dense.rows * dense.columns > 6 * reuses.rows * reuses.columns


def test_kernels_lie_on_their_side_where_that_fits(lenet):
    import dataclasses

    from horner.basis import Axis
    from horner.program.weights import Positional

    axes = (Axis(2), Axis(1), Axis(5), Axis(5, degree=1))
    conv = dataclasses.replace(
        lenet.layers[0], weights=Positional(axes, np.ones((2, 1, 5, 2), int), 4), bias=None, padding=(0, 0)
    )
    conv = dataclasses.replace(
        conv, output=dataclasses.replace(conv.output, multiplier=Positional((Axis(2, degree=0),), np.array([1]), 4))
    )
    program = dataclasses.replace(lenet, layers=(conv,))
    made = design(program, 2, 2)
    assert made.turned
    assert made.steps[0].core.shape == (2, 1, 2, 5)


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


def convolutions(program):
    return [layer for layer in program.layers if isinstance(layer, Conv)]


@given(programs(integer=True))
def test_what_the_array_cannot_do_is_named(program):
    if len(convolutions(program)) == len(program.layers) and all(
        conv.groups == 1 and conv.dilation == (1, 1) and conv.source == number
        for number, conv in enumerate(program.layers)
    ):
        return
    if any(isinstance(layer, MaxPool) for layer in program.layers):
        return
    with pytest.raises(ArchitectureError, match=f"^({'|'.join(map(re.escape, program.names))})[: ]"):
        design(program, 5, 2)


def test_an_array_too_small_for_a_kernel_says_how_small(lenet):
    with pytest.raises(ArchitectureError, match=r"conv1: 3 rows of a kernel do not fit an array of 2 rows; enlarge it"):
        design(lenet, 2, 4)
    with pytest.raises(ArchitectureError, match="0x4 PEs; at least 1x1"):
        design(lenet, 0, 4)
