import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from horner.backends.c.memory import Buffer, homes, place
from horner.backends.c.types import FLOAT, INT8, INT16, INT32, INT64
from horner.program.layers import Flatten, MaxPool
from horner.program.program import Input, Program


@st.composite
def buffers(draw):
    first = draw(st.integers(0, 9))
    kind = draw(st.sampled_from([INT8, INT16, INT32, INT64, FLOAT]))
    return Buffer(kind, draw(st.integers(1, 50)), first, draw(st.integers(first, 9)))


@given(st.lists(buffers(), max_size=30))
def test_live_buffers_never_overlap(given_buffers):
    arena = place(given_buffers)
    for step in range(10):
        owner = np.full(arena.bytes, -1)
        for number, (buffer, offset) in enumerate(zip(given_buffers, arena.offsets, strict=True)):
            if buffer.first <= step <= buffer.last:
                assert offset % buffer.type.bytes == 0
                assert offset + buffer.bytes <= arena.bytes
                assert (owner[offset : offset + buffer.bytes] == -1).all()
                owner[offset : offset + buffer.bytes] = number
    live = [sum(b.bytes for b in given_buffers if b.first <= step <= b.last) for step in range(10)]
    assert max(live) <= arena.bytes <= sum(b.bytes + 7 for b in given_buffers)


def test_a_chain_uses_two_places():
    chain = [Buffer(INT8, size, i, i + 1) for i, size in enumerate([100, 40, 60, 30, 100])]
    assert place(chain).bytes == 140


def test_a_flattened_map_is_the_map_itself():
    pool = MaxPool(0, (2, 2), (2, 2))
    program = Program(Input((1, 4, 4)), (pool, Flatten(1), MaxPool(2, (1, 1), (1, 1)), Flatten(0)))
    assert homes(program)[:4] == [0, 1, 1, 3]
    assert homes(program)[4] == 4, "the output does not lie in the input"
