import re

import numpy as np
import pytest
import torch

import horner
from horner import load, zoo
from horner.backends.c.compiler import ZIG_CXX, built
from horner.backends.reference import run
from horner.backends.rtl import simulation
from horner.backends.rtl.design import design
from horner.backends.rtl.simulation import NAME, Simulation
from horner.data import embedded, idx

IMAGES = 100
HEADER = f"{NAME}.h"


def poisoned(files, *arguments, **options):
    """Compile a simulation in which whatever is read beyond a memory's end is ones."""
    text, changed = re.subn(r"(else \{\n\s+\S+ = value<\d+> \{\})", r"\1.bit_not()", files[HEADER])
    assert changed == files[HEADER].count("out of bounds read") > 0
    return built({**files, HEADER: text}, *arguments, **options)


def test_a_whole_lenet5_is_bit_exact_on_real_images(monkeypatch):
    """Its baseline is so too where the manual's page on hardware is run. Nothing read beyond a memory matters."""
    monkeypatch.setattr(simulation, "built", poisoned)
    program = load(zoo.find("zoo:lenet5"))
    made = design(program, 3, 1)
    array = Simulation(made)
    images = idx.loads(embedded.files()["t10k-images-idx3-ubyte"], 3)[:IMAGES, None]
    wanted = run(program, images)
    free = array.run(images)
    assert np.array_equal(free.outputs, wanted)
    held = array.run(images, hold_pixels=40, hold_logits=60, seed=1)
    assert np.array_equal(held.outputs, wanted)
    # pixels come while the image before is computed, so that holding them up costs next to nothing
    assert free.cycles < held.cycles < 1.1 * free.cycles
    assert sum(free.layers) <= free.cycles
    # the model of horner.hardware.stream counts the same cycles
    assert [cycles / IMAGES for cycles in free.layers] == pytest.approx(made.layer_cycles, rel=0.05)
    assert sum(free.layers) / IMAGES == pytest.approx(made.cycles, rel=0.01)


def test_zig_compiles_it_too_and_only_once(tmp_path, monkeypatch):
    """As far as an object: its libraries are those of any C++."""

    def compiled(files, suffix, *, flags, compiler):
        return built(files, ".o", flags=[*flags, "-c"], compiler=ZIG_CXX, cache=tmp_path)

    monkeypatch.setattr(simulation, "built", compiled)
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32))
    model = horner.approximate_(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)), "row=linear col=linear", example=images)
    made = design(horner.to_program(model, images, pixels=(33.0, 79.0)), 2, 1)
    Simulation(made)
    (first,) = tmp_path.glob("*.o")
    compiled_at = first.stat().st_mtime_ns
    Simulation(made)
    (again,) = tmp_path.glob("*.o")
    assert (again, again.stat().st_mtime_ns) == (first, compiled_at)
