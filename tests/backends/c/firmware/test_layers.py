import numpy as np
import pytest

from horner.backends.c.firmware.elf import read
from horner.backends.c.firmware.image import EMULATED
from horner.backends.c.firmware.layers import SHARED, Owners, owners_of_code, owners_of_data

# what conv1 does is inlined into network_run, what conv2 calls is not; the helper is both
TWO = """
static const int8_t conv1_core[3] = {1, 2, 3};
static const int32_t conv2_core[2] = {4, 5};
static int help(volatile const int8_t *p) { return *p * 3 / (*p | 1); }
static void conv1(const int8_t *input, int8_t *output)
{
    for (int i = 0; i < 3; ++i) { output[i] = (int8_t)(conv1_core[input[i] & 1] + help(input)); }
}
__attribute__((noinline)) static void conv2_loop(int8_t *output)
{
    for (int i = 0; i < 4; ++i) { output[i] = (int8_t)(output[i] ^ conv2_core[output[i] & 1]); }
}
void network_run(const int8_t *input, int8_t *output) { conv1(input, output); conv2_loop(output); }
"""


@pytest.mark.parametrize("chip", EMULATED)
def test_code_and_tables_belong_to_their_layers_inlined_or_not(by_hand, chip):
    image = read(by_hand(TWO, chip).path, "network.c")
    owners = Owners("network", ("conv1", "conv2"))
    code, data = owners_of_code(image, owners), owners_of_data(image, ".rodata", owners)
    by_name = {f.name: f for f in image.functions}
    assert "conv1" not in by_name, "inlined"
    loop, run = by_name["conv2_loop"], by_name["network_run"]
    base = image.sections[".text"].address
    assert (code[loop.address - base : loop.end - base] == 1).all()
    inside = code[run.address - base : run.end - base]
    assert {0, 2} == set(inside.tolist())
    assert (inside == 0).sum() > (inside == 2).sum(), "of network_run, most was written as conv1"
    assert [int((data == i).sum()) for i in (0, 1)] == [3, 8]
    helpers = {f.name for f in image.functions if f.address >= base and f.name[:2] == "__"}
    for name in helpers:  # the compiler's division, where the chip has none
        assert (code[by_name[name].address - base : by_name[name].end - base] == SHARED).all()
    assert bool(helpers) == (chip == "cortex-m0plus")


def test_a_section_that_is_not_there_is_empty(by_hand):
    image = read(by_hand(TWO, "cortex-m4").path, "network.c")
    found = owners_of_data(image, ".data", Owners("network", ()))
    assert (found.shape, found.dtype) == ((0,), np.int16)
