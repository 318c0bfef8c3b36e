"""Both arrays side by side, on images; docs/hardware.md does it for a whole LeNet-5."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

import horner
from horner.backends.reference import run
from horner.backends.rtl import comparison
from horner.backends.rtl.simulation import Run
from horner.errors import SimulationError

IMAGES = 4


@pytest.fixture(scope="module")
def program():
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(16, 1, 12, 12)).astype(np.float32))
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(100, 6)
    )
    horner.approximate_(model, "0: row=linear col=linear; 4: row=linear col=linear map=5x5", example=images[:2])
    return horner.to_program(model, images, pixels=(33.0, 79.0))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (IMAGES, 1, 12, 12), np.uint8)


@pytest.fixture(scope="module")
def compared(program, images):
    said = []
    found = comparison.compare(program, 2, 2, images, said.append)
    assert len(said) == 4
    return found


def test_both_arrays_give_the_references_outputs_in_about_the_same_time(compared, program, images):
    assert np.array_equal(compared.outputs, run(program, images))
    reuse, dense = compared.arrays.values()
    assert dense.design.cycles <= 1.05 * reuse.design.cycles
    assert dense.design.operators > reuse.design.operators


def test_the_model_is_within_five_per_cent_in_all(compared):
    for array in compared.arrays.values():
        assert sum(array.layers) == pytest.approx(array.design.cycles, rel=0.05)


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


def test_an_output_that_differs_is_an_error(program, images, monkeypatch):
    class Wrong:
        """Stands in for an array at fault: everything is zero."""

        def __init__(self, design):
            self.design = design

        def run(self, images):
            return Run(np.zeros_like(run(program, images)), 1, (1,) * len(self.design.steps))

    monkeypatch.setattr(comparison, "Simulation", Wrong)
    with pytest.raises(SimulationError, match=r"reuse: the outputs of image \d are not the reference's"):
        comparison.compare(program, 2, 2, images)
