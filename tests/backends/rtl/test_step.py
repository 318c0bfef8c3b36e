"""What the array can do of a program, and how it says what it cannot."""

import re

import pytest
from hypothesis import given
from strategies import programs

from horner import load, zoo
from horner.backends.rtl.design import design
from horner.errors import ArchitectureError
from horner.program.layers import Conv, MaxPool


@pytest.fixture(scope="module")
def lenet():
    return load(zoo.find("zoo:lenet5"))


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
