import os
import sys
from pathlib import Path

import pytest

from horner.backends.c import compiler
from horner.backends.c.compiler import cxx_command, find_compiler, shared_library, working_cache
from horner.errors import CompileError, FileError

ANSWER = {"answer.c": "int answer(void);\nint answer(void) { return 42; }\n"}


def test_zig_comes_first_and_says_its_version():
    found = find_compiler()
    assert found.command == (sys.executable, "-m", "ziglang", "cc")
    assert "clang" in found.version


def test_without_zig_the_environment_and_then_the_path_are_asked(monkeypatch):
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("CC", f"{sys.executable} -m ziglang cc")
    assert find_compiler().command[0] == sys.executable
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CompileError, match=r"pip install 'horner\[mcu\]'"):
        find_compiler()


def test_for_cpp_zig_is_the_last(tmp_path, monkeypatch):
    def tool(name, status):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / name).chmod(0o755)
        return (str(tmp_path / name),)

    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cxx_command() == (sys.executable, "-m", "ziglang", "c++")
    tool("c++", 1)  # as where a system's developer's tools are missing
    assert cxx_command() == (sys.executable, "-m", "ziglang", "c++")
    found = tool("g++", 0)
    assert cxx_command() == found
    monkeypatch.setenv("CXX", "ccache clang++")
    assert cxx_command() == ("ccache", "clang++")
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CompileError, match=r"no C\+\+ compiler .*pip install 'horner\[mcu\]'"):
        cxx_command()


def test_a_compiler_that_does_not_start_is_named():
    with pytest.raises(CompileError, match="no-such-compiler"):
        find_compiler("no-such-compiler -m64")


def test_a_library_is_compiled_once(tmp_path, monkeypatch):
    library = shared_library(ANSWER, cache=tmp_path)
    made = library.stat().st_mtime_ns
    assert shared_library(ANSWER, cache=tmp_path) == library
    assert library.stat().st_mtime_ns == made
    other = shared_library(ANSWER, cache=tmp_path, flags=[*compiler.FLAGS, "-DX"])
    assert other != library
    left = {path.name for path in tmp_path.iterdir()} - {"zig"}
    assert left == {library.name, other.name}, "nothing of the builds stays"


def test_nothing_is_left_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared_library({"a.c": "int a(void);\nint a(void) { return 1; }\n"})
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_repeats_the_first_lines_and_keeps_nothing(tmp_path):
    bad = "int f(void) { return x0; }\n" + "".join(f"int g{i}(void) {{ return y{i}; }}\n" for i in range(9))
    with pytest.raises(CompileError) as caught:
        shared_library({"bad.c": bad}, cache=tmp_path)
    lines = str(caught.value).splitlines()
    assert "pip install 'horner[mcu]'" in lines[0]
    assert any("x0" in line for line in lines)
    assert len(lines) <= compiler.SHOWN_LINES + 2
    assert "lines more" in lines[-1]
    assert not list(tmp_path.glob("*.so"))


def test_a_home_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for name in ("HORNER_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    folder = working_cache()
    assert folder.is_dir()
    assert tmp_path not in folder.parents
    assert working_cache() == folder, "one for the whole process"
    assert os.access(folder, os.W_OK)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert working_cache() == folder


def test_a_cache_that_was_named_must_be_writable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file"):
        working_cache(tmp_path / "file" / "cache")
    monkeypatch.setenv("HORNER_CACHE", str(tmp_path / "file"))
    with pytest.raises(FileError, match="file"):
        working_cache()
