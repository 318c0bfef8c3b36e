"""Arrays as fast as each other, and kernels on their side."""

import dataclasses

import numpy as np
import pytest

from horner import load, zoo
from horner.backends.rtl.design import SLOWER, baseline, design
from horner.basis import Axis
from horner.program.weights import Positional


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
