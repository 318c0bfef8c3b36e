"""An image on an emulated chip: every instruction counted, the stack's deepest byte found.

What is counted are instructions, not cycles: the emulator executes an instruction set, it has no pipeline, no wait
states of flash and no bus. A conditional instruction counts whether or not its condition holds.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from horner.backends.c.firmware.count import InstructionCounter
from horner.backends.c.firmware.elf import Image
from horner.backends.c.firmware.extras import need
from horner.backends.c.firmware.instructions import instructions
from horner.errors import SimulationError

_MODELS = {
    "cortex-m0plus": "UC_CPU_ARM_CORTEX_M0",
    "cortex-m4": "UC_CPU_ARM_CORTEX_M4",
    "cortex-m33": "UC_CPU_ARM_CORTEX_M33",
    "rv32imc": "UC_CPU_RISCV32_ANY",
}
_PAGE = 4096
_SYSTEM_CONTROL = 0xE000E000  # a page of Cortex-M's own registers
_PATTERNS = (0xC5, 0x3A)  # of paint: no byte equals both


class Chip:
    """A chip that has started and waits for its first image.

    Parameters
    ----------
    image
        What is flashed.
    target
        The chip's name.
    owners
        The owner of every byte of ``.text``, of `horner.backends.c.firmware.layers.owners_of_code`.

    Raises
    ------
    MissingToolError
        When unicorn is not installed.
    SimulationError
        When the image does not reach the point where it waits.

    Attributes
    ----------
    stack
        Bytes of stack that the last run touched below its caller's frame.
    """

    def __init__(self, image: Image, target: str, owners: np.ndarray) -> None:
        self._unicorn = need("unicorn", "the emulator")
        self._image = image
        text = image.sections[".text"]
        code = instructions(image, text, text.address, text.address + text.size)
        self._counter = InstructionCounter(text, owners, np.array([address - text.address for address, _ in code]))
        self._runs = 0
        self.stack: int | None = 0
        self._wait = image.addresses["firmware_wait_for_image"]
        self._emulator = self._start(target)
        stack = image.sections[".stack"]
        self._stack = (image.addresses["stack_bottom"], stack.address + stack.size)
        self._go(image.addresses["firmware_reset" if target == "rv32imc" else "firmware_start"])

    def run(self, data: bytes, size: int) -> bytes:
        """Classify one image: put `data` into the input, run to the end, return `size` bytes of the output."""
        self._counter.clear()
        pattern = _PATTERNS[self._runs % len(_PATTERNS)]
        self._runs += 1
        bottom, top = self._stack[0], self._register("SP")
        self._emulator.mem_write(bottom, bytes([pattern]) * (top - bottom))
        self._emulator.mem_write(self._image.addresses["firmware_input"], data)
        self._go(self._register("LR" if self._image.thumb else "RA"))
        stack = np.frombuffer(bytes(self._emulator.mem_read(bottom, top - bottom)), np.uint8)
        touched = np.flatnonzero(stack != pattern)
        self.stack = len(stack) - int(touched[0]) if touched.size else 0
        return bytes(self._emulator.mem_read(self._image.addresses["firmware_output"], size))

    def counts(self) -> Counter[int]:
        """Return the instructions of the last run by owner; what is shared counts for the layer that called it."""
        return self._counter.by_owner()

    def _start(self, target: str) -> Any:
        unicorn, image = self._unicorn, self._image
        if image.thumb:
            emulator = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
            emulator.ctl_set_cpu_model(getattr(unicorn.arm_const, _MODELS[target]))
            emulator.mem_map(_SYSTEM_CONTROL, _PAGE)
        else:
            emulator = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
        for low, high in _pages(image):
            emulator.mem_map(low, high - low)
        for section in image.sections.values():
            if section.data:
                emulator.mem_write(section.source, section.data)
        self._counter.attach(unicorn, emulator)
        if image.thumb:
            emulator.reg_write(unicorn.arm_const.UC_ARM_REG_SP, image.addresses["stack_top"])
        return emulator

    def _go(self, address: int) -> None:
        try:
            self._emulator.emu_start(address | self._image.thumb, self._wait)
        except self._unicorn.UcError as error:
            where = self._register("PC")
            raise SimulationError(f"the emulated chip stopped at {where:#x}: {error}") from error

    def _register(self, name: str) -> int:
        constants = self._unicorn.arm_const if self._image.thumb else self._unicorn.riscv_const
        return int(
            self._emulator.reg_read(getattr(constants, f"UC_{'ARM' if self._image.thumb else 'RISCV'}_REG_{name}"))
        )


def _pages(image: Image) -> list[tuple[int, int]]:
    """Return the ranges of whole pages that hold the image, where it is flashed to and where it runs."""
    pages = {
        page
        for section in image.sections.values()
        for address in (section.address, section.source)
        for page in range(address // _PAGE, (address + section.size - 1) // _PAGE + 1)
    }
    ranges: list[tuple[int, int]] = []
    for page in sorted(pages):
        if ranges and ranges[-1][1] == page * _PAGE:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + _PAGE)
        else:
            ranges.append((page * _PAGE, (page + 1) * _PAGE))
    return ranges
