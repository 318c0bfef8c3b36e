import importlib.util

import pytest

from horner.backends.c.firmware.extras import expect_zig, need
from horner.errors import CompileError, MissingToolError


def test_what_is_installed_is_given():
    assert need("elftools.elf.elffile", "reading").__name__ == "elftools.elf.elffile"
    expect_zig("building")


def test_what_is_missing_is_one_line_with_the_remedy(monkeypatch):
    with pytest.raises(MissingToolError, match=r"^flying needs wings: pip install 'horner\[mcu\]'$"):
        need("wings.feathers", "flying")
    with pytest.raises(CompileError, match=r"^flying needs wings: grow some$"):
        need("wings.feathers", "flying", "grow some")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match=r"^building needs ziglang: pip install 'horner\[mcu\]'$"):
        expect_zig("building")
