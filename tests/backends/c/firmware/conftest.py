from pathlib import Path

import numpy as np
import pytest
from digits import digits

from horner.backends.c.firmware.image import Firmware, link
from horner.backends.c.source import CSource
from horner.backends.c.targets import target
from horner.program.file import load
from horner.program.layers import MaxPool
from horner.program.program import Input, Program

LENET = Path(__file__).parents[3] / "data" / "lenet5.horner"
COPY = Program(Input((1, 2, 2)), (MaxPool(0, (1, 1), (1, 1)),))
HEADER = """#include <stdint.h>
#define NETWORK_INPUT_SIZE 4
#define NETWORK_OUTPUT_SIZE 4
void network_init(void);
void network_run(const int8_t *input, int8_t *output);
"""
INIT = "void network_init(void) {}\n"


@pytest.fixture(scope="session")
def lenet() -> Program:
    """A trained network."""
    return load(LENET)


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return digits().test.images[:2]


@pytest.fixture(scope="session")
def written():
    """Return a source written by hand in the place of a network's, and a program of its shapes."""

    def source(text: str) -> tuple[Program, CSource]:
        return COPY, CSource("network", f'#include "network.h"\n{INIT}{text}', HEADER, 0, 0)

    return source


@pytest.fixture(scope="session")
def by_hand(written):
    """Link a source written by hand into an image."""

    def build(text: str, chip: str) -> Firmware:
        return link(*written(text), target(chip))

    return build
