"""Every built-in network, from torch to C, bit for bit; and how much memory the small ones take."""

from pathlib import Path

import networks
import numpy as np
import pytest

import horner
from horner import models
from horner.backends import c, reference
from horner.backends.c.firmware import simulate
from horner.backends.c.targets import TARGETS, target
from horner.program import file

DEMONSTRATION = Path(__file__).parents[2] / "data" / "lenet5.horner"

PLANS = {
    "alexnet": "out=linear/16 in=linear/8; conv1: row=linear col=quadratic",
    "lenet-fashion": "out=linear/4 in=linear/2; conv*: row=quadratic col=quadratic; fc3: dense",
    "lenet5": "bits=5 out=linear/4; conv2: in=linear/3 row=linear col=quadratic; fc1: in=linear/4 map=5x5",
    "lenet5-caffe": "out=linear/10 in=linear/5; conv1: ranked=linear/4bit",
    "lenet5-caffe-relu": "scale=constant; conv2: out=linear/5 in=linear/5 row=linear col=linear; fc1: bias=linear/50",
    "resnet20": "out=linear/8 in=linear/8; block[89].*: col=linear; conv1: dense; fc1: dense",
    "vgg16": "out=linear/32 in=linear/32 row=linear col=linear; conv1_1: dense; fc1: in=linear/16",
}


def test_there_is_a_plan_for_every_network():
    assert sorted(PLANS) == models.names()


@pytest.fixture(scope="module", params=PLANS)
def program(request):
    shape = (1, 28, 28) if "lenet" in request.param else (3, 32, 32)
    model = networks.trained_like_(models.build(request.param, shape=shape, batch_norm=True))
    horner.approximate_(model, horner.Plan.parse(PLANS[request.param]))
    return horner.to_program(model, networks.images(8, shape))


@pytest.mark.parametrize("name", ["generic", "cortex-m0plus", "cortex-m4"])
def test_c_equals_the_reference(program, build_all, name):
    images = np.random.default_rng(0).integers(-128, 128, (3, *program.input.shape), np.int8)
    outputs = build_all([program], ["-O1"], name)[0](images)
    np.testing.assert_array_equal(outputs, reference.run(program, images))
    assert len(np.unique(outputs)) > 5


@pytest.mark.parametrize("name", sorted(TARGETS.keys() - {"generic"}))
def test_every_chip_gives_the_reference(program, name):
    image = np.random.default_rng(0).integers(-128, 128, (1, *program.input.shape), np.int8)
    outputs = simulate(program, image, target(name)).outputs
    np.testing.assert_array_equal(outputs.ravel(), reference.run(program, image).ravel())


def test_resnet20_fits_a_small_chip():
    """At a coefficient ratio of 19.3: a third of what its maps take when they are stored whole."""
    plan = """
    out=linear/8 in=linear/8
    block[89].*: out=linear/8 in=linear/8 col=linear
    block7.conv2: out=linear/8 in=linear/8 col=linear
    conv1: dense
    fc1: dense
    """
    model = networks.trained_like_(models.build("resnet20", shape=(3, 32, 32), batch_norm=True))
    horner.approximate_(model, horner.Plan.parse(plan))
    program = horner.to_program(model, networks.images(8, (3, 32, 32)))
    generated = c.generate(program, target="cortex-m0plus")
    assert generated.arena_bytes < 28_000 < 3 * 16 * 32 * 32
    assert generated.constant_bytes < 18_000


def test_the_demonstration_keeps_its_coefficients_in_bytes_and_its_maps_in_rows():
    program = file.load(DEMONSTRATION)
    generated = c.generate(program, target="cortex-m0plus")
    assert generated.arena_bytes < 2_000
    assert generated.constant_bytes < 1_900
    assert all(f"static const int8_t {name}_core" in generated.source for name in ("conv2", "linear1"))
    assert "64_t" not in generated.source, "neither sums nor products need 64 bits"
