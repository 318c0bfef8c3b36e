import platform

import numpy as np
import pytest

from horner.backends import c, reference
from horner.backends.c.host.isa import ISAS, available, find_isa
from horner.errors import CompileError, ProgramError
from horner.program.layers import MaxPool
from horner.program.program import Input, Program

LARGEST = Program(Input((2, 6, 6), 1.0, 0), (MaxPool(0, (2, 2), (2, 2)),))


def test_the_best_of_this_machine_is_taken_and_portable_c_is_always_there():
    assert find_isa() == available()[0]
    assert ISAS["portable"] in available()
    order = list(ISAS.values())
    assert [order.index(isa) for isa in available()] == sorted(order.index(isa) for isa in available())


@pytest.mark.parametrize("name", [isa.name for isa in available()])
def test_each_is_compiled_when_it_is_asked_for(name):
    network = c.compile(LARGEST, isa=name)
    assert network.isa.name == name
    images = np.random.default_rng(0).integers(-128, 128, (5, 2, 6, 6), np.int8)
    np.testing.assert_array_equal(network(images), reference.run(LARGEST, images))


def test_what_the_machine_lacks_is_refused_with_what_it_has():
    missing = "avx2" if platform.machine() in ("aarch64", "arm64") else "neon"
    with pytest.raises(CompileError, match=rf"this machine lacks {ISAS[missing].title}; it has .*portable"):
        c.compile(LARGEST, isa=missing)
    with pytest.raises(CompileError, match=r"no instruction set 'sse9'; there are avx512vnni, .*portable"):
        c.compile(LARGEST, isa="sse9")


def test_threads_share_the_images_of_a_call():
    images = np.random.default_rng(1).integers(-128, 128, (11, 2, 6, 6), np.int8)
    expected = reference.run(LARGEST, images)
    for threads in (1, 2, 3, 64):
        network = c.compile(LARGEST, threads=threads)
        for count in (0, 1, 2, 11):
            np.testing.assert_array_equal(network(images[:count]), expected[:count])
    with pytest.raises(ProgramError, match="0 threads; at least one"):
        c.compile(LARGEST, threads=0)
