import importlib.util

import pytest

from horner.backends.c.firmware.elf import read
from horner.backends.c.firmware.image import EMULATED, build
from horner.backends.c.targets import TARGETS
from horner.errors import CompileError, MissingToolError


@pytest.mark.parametrize("chip", EMULATED)
def test_a_chip_can_start_the_image(lenet, chip):
    image = read(build(lenet, chip, "digits").path, "digits.c")
    vectors = image.sections[".vectors"]
    assert vectors.address == 0x0800_0000
    if image.thumb:
        words = [int.from_bytes(vectors.data[at : at + 4], "little") for at in range(0, 64, 4)]
        assert words[:2] == [image.addresses["stack_top"], image.addresses["firmware_start"] | 1]
        assert set(words[2:6]) == {image.addresses["firmware_fault"] | 1}
    else:
        assert image.addresses["firmware_reset"] == vectors.address
    flash = [s for s in image.sections.values() if s.source < 0x2000_0000]
    assert {s.name for s in flash} <= {".vectors", ".startup", ".text", ".rodata"}
    assert image.size(".stack") > 0x1_0000 - 16


def test_the_same_image_is_built_once(lenet):
    made = build(lenet, "cortex-m0plus")
    before = made.path.stat().st_mtime_ns
    assert build(lenet, "cortex-m0plus").path == made.path
    assert made.path.stat().st_mtime_ns == before
    assert build(lenet, "cortex-m4").path != made.path


def test_images_are_for_chips(lenet):
    for name in set(TARGETS) - set(EMULATED):
        with pytest.raises(CompileError, match=f"no images are built for {name}; choose from cortex-m0plus"):
            build(lenet, name)
    with pytest.raises(CompileError, match="no target 'pdp11'"):
        build(lenet, "pdp11")


def test_without_zig_one_line_says_how_to_get_it(lenet, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match=r"cortex-m4 needs ziglang: pip install 'horner\[mcu\]'"):
        build(lenet, "cortex-m4")
