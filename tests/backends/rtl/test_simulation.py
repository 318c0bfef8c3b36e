import numpy as np
import pytest

from horner import load, zoo
from horner.backends.reference import run
from horner.backends.rtl.design import design
from horner.backends.rtl.simulation import Simulation
from horner.data import embedded, idx

IMAGES = 100


def test_a_whole_lenet5_is_bit_exact_on_real_images():
    """Its baseline is so too where the manual's page on hardware is run."""
    program = load(zoo.find("zoo:lenet5"))
    made = design(program, 3, 1)
    simulation = Simulation(made)
    images = idx.loads(embedded.files()["t10k-images-idx3-ubyte"], 3)[:IMAGES, None]
    wanted = run(program, images)
    free = simulation.run(images)
    assert np.array_equal(free.outputs, wanted)
    held = simulation.run(images, hold_pixels=40, hold_logits=60, seed=1)
    assert np.array_equal(held.outputs, wanted)
    # pixels come while the image before is computed, so that holding them up costs next to nothing
    assert free.cycles < held.cycles < 1.1 * free.cycles
    assert sum(free.layers) <= free.cycles
    # the model of horner.hardware.stream counts the same cycles
    assert [cycles / IMAGES for cycles in free.layers] == pytest.approx(made.layer_cycles, rel=0.05)
    assert sum(free.layers) / IMAGES == pytest.approx(made.cycles, rel=0.01)
