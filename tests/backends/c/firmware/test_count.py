import ctypes
from collections import Counter

import numpy as np

from horner.backends.c.firmware.count import InstructionCounter
from horner.backends.c.firmware.elf import Section
from horner.backends.c.firmware.layers import SHARED

# twelve bytes of code: two instructions of a layer, one shared, one wide one of another layer, one more shared
OWNERS = np.array([0, 0, 0, 0, SHARED, SHARED, 1, 1, 1, 1, SHARED, SHARED], np.int16)
STARTS = np.array([0, 2, 4, 6, 10])


def counted(*blocks):
    """Count runs of instructions, each an offset and a number of bytes, as the emulator reports them."""
    counter = InstructionCounter(Section(".text", 0x800, 0x800, 12, bytes(12)), OWNERS, STARTS)
    for offset, size in blocks:
        counter._function(None, ctypes.c_uint64(0x800 + offset), ctypes.c_uint32(size), ctypes.byref(counter._state))
    before = counter.by_owner()
    counter.clear()
    assert counter.by_owner() == Counter()
    return before


def test_a_run_counts_for_the_owners_of_its_instructions():
    assert counted((0, 4)) == {0: 2}
    assert counted((0, 4), (6, 4), (0, 2)) == {0: 3, 1: 1}
    assert counted() == {}


def test_what_is_shared_counts_for_the_layer_that_ran_last():
    assert counted((0, 4), (10, 2), (6, 4), (10, 2), (10, 2)) == {0: 3, 1: 3}
    assert counted((10, 2)) == {SHARED: 1}, "nobody yet"


def test_a_run_through_several_owners_is_shared_out():
    assert counted((0, 12)) == {0: 2, 1: 1, SHARED: 2}
    assert counted((2, 8), (10, 2)) == {0: 1, 1: 3}, "the run ends in the second layer, which calls"
