import numpy as np
import pytest
import strategies
from hypothesis import HealthCheck, Phase, given, settings

from horner.backends import reference
from horner.backends.c.firmware import simulation
from horner.backends.c.firmware.image import EMULATED
from horner.backends.c.firmware.simulation import simulate
from horner.backends.c.targets import TARGETS
from horner.errors import DataError, SimulationError

FEW = settings(
    max_examples=3, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("target", TARGETS)
def test_a_trained_network_gives_the_reference_everywhere(lenet, images, target):
    told = []
    result = simulate(lenet, images, target, "digits", lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(result.outputs.reshape(2, 10), reference.run(lenet, images))
    assert told == [(1, 2), (2, 2)]
    if target in EMULATED:
        # pools are part of the convolutions before them
        assert {layer.name for layer in result.layers} >= {name for name in lenet.names if "pool" not in name}
        assert 0 < result.stack <= result.footprint.stack.bytes
        assert sum(layer.median for layer in result.layers) == pytest.approx(result.total.median, rel=0.01)
    assert (result.total is None) == (target == "generic")
    if result.total:
        assert 10_000 < result.total.least <= result.total.median <= result.total.most
    numbers = result.to_dict()
    assert (numbers["images"], numbers["target"], numbers["identical"]) == (2, target, True)
    said = "\n".join(str(part) for part in result.table().renderables)
    assert f"2 images on {target}: every output is the reference's." in said
    assert ("nstructions, not cycles" in said) == (target != "generic")


@pytest.mark.parametrize("target", ["cortex-m0plus", "cortex-m4", "rv32imc", "wasm32"])
@FEW
@given(strategies.programs(most_layers=4), strategies.generators())
def test_any_program_gives_the_reference(target, program, generator):
    simulate(program, strategies.images(program, generator, 2), target)


@pytest.mark.parametrize("target", ["cortex-m0plus", "cortex-m4", "rv32imc"])
@settings(FEW, max_examples=2)
@given(strategies.programs(integer=False, most_layers=3), strategies.generators())
def test_floats_agree_to_rounding_with_and_without_a_floating_point_unit(target, program, generator):
    result = simulate(program, strategies.images(program, generator, 1), target)
    assert result.outputs.dtype == np.float32
    assert result.footprint.input == 4 * program.values[0].size
    assert not result.to_dict()["identical"]
    assert any("agrees with the reference to rounding" in str(part) for part in result.table().renderables)


def test_an_output_that_is_not_the_references_is_an_error_that_names_the_image(lenet, images, monkeypatch):
    right = reference.run

    def wrong(program, inputs):
        outputs = right(program, inputs)
        outputs[1, 3] ^= 1
        return outputs

    monkeypatch.setattr(simulation.reference, "run", wrong)
    with pytest.raises(SimulationError, match=r"image 1 of 2: cortex-m0plus computes \[.*\], the reference \["):
        simulate(lenet, images, "cortex-m0plus")


def test_no_images_are_nothing_to_compare(lenet, images):
    with pytest.raises(DataError, match="no images"):
        simulate(lenet, images[:0], "cortex-m0plus")
