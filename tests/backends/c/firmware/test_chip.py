from collections import Counter

import numpy as np
import pytest
import unicorn

from horner.backends.c.firmware.chip import Chip
from horner.backends.c.firmware.elf import read
from horner.backends.c.firmware.extras import need
from horner.backends.c.firmware.image import EMULATED, build
from horner.backends.c.firmware.layers import Owners, owners_of_code
from horner.errors import MissingToolError, SimulationError

# 3 + 100 * (3 + 5) + 2 instructions: the helper is no layer's, its loop is conv1's work
THUMB = """
__asm__(".text\\n.thumb_func\\n.type helper, %function\\nhelper:\\n"
    "nop\\nnop\\nnop\\nbx lr\\n.size helper, . - helper\\n"
    ".globl network_run\\n.thumb_func\\n.type network_run, %function\\nnetwork_run:\\n"
    "push {r4, lr}\\nmovs r4, #100\\nb conv1_loop\\n.size network_run, . - network_run\\n"
    ".thumb_func\\n.type conv1_loop, %function\\nconv1_loop:\\n"
    "nop\\nbl helper\\nsubs r4, #1\\nbne conv1_loop\\npop {r4, pc}\\n.size conv1_loop, . - conv1_loop\\n");
"""
RISCV = """
__asm__(".text\\n.type helper, %function\\nhelper:\\n"
    "nop\\nnop\\nnop\\nret\\n.size helper, . - helper\\n"
    ".globl network_run\\n.type network_run, %function\\nnetwork_run:\\n"
    "mv t3, ra\\nli t4, 100\\nj conv1_loop\\n.size network_run, . - network_run\\n"
    ".type conv1_loop, %function\\nconv1_loop:\\n"
    "nop\\njal helper\\naddi t4, t4, -1\\nbnez t4, conv1_loop\\njr t3\\n.size conv1_loop, . - conv1_loop\\n");
"""


def started(firmware, layers):
    image = read(firmware.path, f"{firmware.source.name}.c")
    owners = Owners(firmware.source.name, layers)
    return image, Chip(image, firmware.target.name, owners_of_code(image, owners))


@pytest.mark.parametrize("chip", EMULATED)
def test_every_instruction_counts_once_for_the_layer_that_caused_it(by_hand, chip):
    _, machine = started(by_hand(RISCV if chip == "rv32imc" else THUMB, chip), ("conv1",))
    for _ in range(2):
        machine.run(bytes(4), 4)
        assert machine.counts() == Counter({0: 100 * (4 + 4) + 1, 1: 3})
        assert machine.stack == (0 if chip == "rv32imc" else 8)


@pytest.mark.parametrize("chip", ["cortex-m0plus", "rv32imc"])
def test_the_count_is_that_of_single_steps(lenet, images, chip):
    """Without conditional instructions, blocks times their lengths are what a hook on every instruction sees."""
    image, machine = started(build(lenet, chip), lenet.names)
    text, steps = image.sections[".text"], [0]

    def step(*_):
        steps[0] += 1

    machine._emulator.hook_add(unicorn.UC_HOOK_CODE, step, begin=text.address, end=text.address + text.size - 1)
    machine.run(lenet.quantise(images[:1]).tobytes(), 10)
    assert machine.counts().total() == steps[0] > 1000


@pytest.mark.parametrize("chip", EMULATED)
def test_nothing_is_written_but_arena_stack_and_output(lenet, images, chip):
    """What the footprint counts is all the memory there is."""
    image, machine = started(build(lenet, chip), lenet.names)
    written = np.zeros(1 << 20, bool)
    base = 0x2000_0000

    def write(emulator, kind, address, size, value, data):
        written[address - base : address - base + size] = True

    machine._emulator.hook_add(unicorn.UC_HOOK_MEM_WRITE, write)
    machine.run(lenet.quantise(images[:1]).tobytes(), 10)
    top = image.addresses["stack_top"] - base
    allowed = np.zeros_like(written)
    allowed[top - 1024 : top] = True
    output = image.addresses["firmware_output"] - base
    allowed[output : output + 10] = True
    variables = image.sections[".bss"]
    allowed[variables.address - base : variables.address - base + variables.size] = True
    assert written.any()
    assert not (written & ~allowed).any()


@pytest.mark.parametrize("chip", EMULATED)
def test_a_chip_that_stops_says_where(by_hand, chip):
    text = "void network_run(const int8_t *input, int8_t *output) { *(volatile int8_t *)0x40 = input[0]; *output = 1; }"
    _, machine = started(by_hand(text, chip), ())
    with pytest.raises(SimulationError, match=r"stopped at 0x8000\w\w\w: .*UNMAPPED"):
        machine.run(bytes(4), 4)


def test_without_the_emulator_one_line_says_how_to_get_it():
    with pytest.raises(MissingToolError, match=r"flying needs wings: pip install 'horner\[mcu\]'"):
        need("wings.feathers", "flying")
