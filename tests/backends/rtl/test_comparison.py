"""Both arrays side by side, on images."""

import io

import numpy as np
import pytest
from rich.console import Console

from horner import load, zoo
from horner.backends.reference import run
from horner.backends.rtl import comparison
from horner.data import embedded, idx
from horner.errors import SimulationError

IMAGES = 4


@pytest.fixture(scope="module")
def digits():
    return idx.loads(embedded.files()["t10k-images-idx3-ubyte"], 3)[:IMAGES, None]


@pytest.fixture(scope="module")
def program():
    return load(zoo.find("zoo:lenet5"))


@pytest.fixture(scope="module")
def compared(program, digits):
    said = []
    found = comparison.compare(program, 3, 3, digits, said.append)
    assert len(said) == 4
    return found


def test_both_arrays_give_the_references_outputs_in_about_the_same_time(compared, program, digits):
    assert np.array_equal(compared.outputs, run(program, digits))
    reuse, dense = compared.arrays.values()
    assert dense.cycles <= 1.05 * reuse.cycles
    assert dense.design.operators > 4 * reuse.design.operators


def test_the_model_is_within_five_per_cent_on_every_layer_and_one_in_all(compared):
    for array in compared.arrays.values():
        assert array.layers == pytest.approx(array.design.layer_cycles, rel=0.05)
        assert sum(array.layers) == pytest.approx(array.design.cycles, rel=0.01)


def test_the_table_says_how_far_off_it_is(compared, program):
    console = Console(width=120, file=io.StringIO())
    console.print(compared.table())
    text = console.file.getvalue()
    assert all(name in text for name, _ in program.convolutions())
    numbers = compared.to_dict()
    assert numbers["images"] == IMAGES
    for array in numbers["arrays"].values():
        assert f"{array['model']:,}" in text
        assert array["model"] == sum(layer["model"] for layer in array["layers"].values())


def test_an_output_that_differs_is_an_error(program, digits, monkeypatch):
    monkeypatch.setattr(comparison, "run", lambda program, images: run(program, images) + 1)
    monkeypatch.setattr(comparison, "Simulation", lambda design: Same(design))
    with pytest.raises(SimulationError, match="reuse: the outputs of image 0 are not the reference's"):
        comparison.compare(program, 3, 3, digits)


class Same:
    """Stands in for a compiled simulation: what it would give, at once."""

    def __init__(self, design):
        self.design = design

    def run(self, images):
        from horner.backends.rtl.simulation import Run

        program = load(zoo.find("zoo:lenet5"))
        return Run(run(program, images), 1, (1,) * len(self.design.steps))
