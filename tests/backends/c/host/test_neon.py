"""The ARM64 code, cross-compiled and emulated: bit for bit the reference's outputs."""

import numpy as np
import pytest
import strategies
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from unicorn import UC_ARCH_ARM64, UC_MODE_ARM, Uc, arm64_const

from horner.backends import reference
from horner.backends.c.compiled import FLAGS
from horner.backends.c.compiler import find_compiler
from horner.backends.c.host.cost import choices
from horner.backends.c.host.isa import ISAS
from horner.backends.c.host.source import generate

# clang calls these for copies it does not write out itself
LIBRARY = """
void *memcpy(void *restrict to, const void *restrict from, unsigned long n)
{
    for (unsigned long i = 0; i < n; ++i) { ((char *)to)[i] = ((const char *)from)[i]; __asm__ volatile(""); }
    return to;
}
void *memset(void *to, int value, unsigned long n)
{
    for (unsigned long i = 0; i < n; ++i) { ((char *)to)[i] = (char)value; __asm__ volatile(""); }
    return to;
}
"""
CONSTANTS, ARENA, INPUT, OUTPUT, STACK, END = (n << 24 for n in range(1, 7))


@pytest.fixture
def emulate(tmp_path):
    def run(program, images, select):
        source = generate(program, ISAS["neon"], select)
        (tmp_path / "network.c").write_text(source.text)
        (tmp_path / "library.c").write_text(LIBRARY)
        flags = [flag for flag in FLAGS if flag not in ("-fPIC", "-shared")]
        target = ["-target", "aarch64-freestanding-none", "-ffreestanding", *ISAS["neon"].zig, "-Werror"]
        link = ["-nostdlib", "-static", "-Wl,-e,horner_run", "-Wl,--image-base=0x100000"]
        files = [str(tmp_path / name) for name in ("network.c", "library.c", "network.elf")]
        find_compiler().run([*target, *flags, *link, *files[:2], "-o", files[2]], tmp_path, tmp_path)
        chip = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
        chip.mem_map(0, END + 4096)
        with (tmp_path / "network.elf").open("rb") as file:
            elf = ELFFile(file)
            for segment in elf.iter_segments("PT_LOAD"):
                chip.mem_write(segment["p_vaddr"], segment.data())
            start = elf["e_entry"]
        chip.mem_write(CONSTANTS, source.constants.tobytes())
        chip.mem_write(INPUT, images.tobytes())
        chip.reg_write(arm64_const.UC_ARM64_REG_CPACR_EL1, 3 << 20)  # vectors on
        chip.reg_write(arm64_const.UC_ARM64_REG_SP, END - 64)
        chip.reg_write(arm64_const.UC_ARM64_REG_LR, END)
        chip.mem_write(STACK, np.array([CONSTANTS, ARENA, INPUT, OUTPUT, len(images)], np.int64).tobytes())
        chip.reg_write(arm64_const.UC_ARM64_REG_X0, STACK)
        chip.emu_start(start, END)
        size = len(images) * program.output.size * images.itemsize
        outputs = np.frombuffer(bytes(chip.mem_read(OUTPUT, size)), images.dtype)
        return outputs.reshape(len(images), *program.output.shape)

    return run


@settings(
    max_examples=2, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(
    st.lists(strategies.programs(integer=True, most_layers=3, channels=9), min_size=6, max_size=6),
    strategies.generators(),
)
def test_random_programs_done_in_random_ways(emulate, programs, generator):
    for program in programs:
        images = strategies.images(program, generator)
        outputs = emulate(program, images, lambda *a: generator.choice(np.array([*choices(*a)], object)))
        np.testing.assert_array_equal(outputs, reference.run(program, images).reshape(outputs.shape))
