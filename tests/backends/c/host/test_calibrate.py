"""The cost model: fitted costs foretell measurements, and what they choose is no slower than dense."""

import numpy as np
import pytest

from horner.backends.c.host import calibrate, cost
from horner.backends.c.host.bench import bench, calibration_table
from horner.backends.c.host.isa import ISAS, available
from horner.basis import Axis
from horner.program.layers import Value
from horner.program.program import Input, Program


@pytest.fixture(scope="module")
def small():
    """A calibration on three small layers."""
    chosen = ("1->6 5x5 28x28 int8", "120->84 1x1 1x1 int8", "16->16 3x3 32x32 float32")
    programs = [(name, program) for name, program in calibrate._programs() if name in chosen]
    assert len(programs) == 3
    patch = pytest.MonkeyPatch()
    patch.setattr(calibrate, "_programs", lambda: programs)
    patch.setattr(calibrate, "MOST_WAYS", 4)
    yield calibrate.calibrate(available()[0])
    patch.undo()


def test_costs_are_fitted_to_what_was_measured(small):
    assert set(small.costs) == set(cost.FEATURES)
    assert min(small.costs.values()) >= 0
    assert all(timed.nanoseconds > 0 for timed in small.timed)
    regrets = small.regrets()
    assert len(regrets) == 3
    assert min(regrets.values()) >= 1
    assert "lost" in str(calibration_table(small).renderables[0].columns[4].header)


def test_costs_that_explain_everything_are_found():
    """Times made from known costs: the fit foretells them all."""
    layers = [program for _, program in calibrate._programs()][:6]
    known = dict(zip(cost.FEATURES, np.linspace(0.1, 3, len(cost.FEATURES)), strict=True))
    timed = [
        calibrate.Timed(str(i), way, cost.estimate(way, known))
        for i, program in enumerate(layers)
        for way in cost.choices(program.layers[0], *program.values[:2], None, ISAS["avx2"])
    ]
    found = calibrate.Calibration(ISAS["avx2"], calibrate.fit(timed), tuple(timed))
    np.testing.assert_allclose(found.errors(), 1, atol=0.05)


def test_kept_costs_plan_the_next_network(small, monkeypatch, tmp_path):
    monkeypatch.setenv("HORNER_CACHE", str(tmp_path))
    cost._costs.cache_clear()
    name = small.isa.name
    assert cost._costs(name) == cost.COSTS[name]
    path = calibrate.save(small)
    cost._costs.cache_clear()
    assert path.startswith(str(tmp_path))
    assert cost._costs(name) == small.costs
    (tmp_path / "c" / f"costs-{name}.json").write_text("{}")
    cost._costs.cache_clear()
    assert cost._costs(name) == cost.COSTS[name]
    monkeypatch.undo()
    cost._costs.cache_clear()


@pytest.mark.parametrize("isa", list(ISAS))
def test_no_plan_is_estimated_slower_than_dense(isa):
    for _, program in calibrate._programs():
        ways = [*cost.choices(program.layers[0], *program.values[:2], None, ISAS[isa])]
        chosen = cost.choose(program.layers[0], *program.values[:2], None, ISAS[isa])
        dense = [cost.cost(way) for way in ways if not way.schedule.reused]
        assert cost.cost(chosen) <= min(dense)


def test_a_network_is_timed_whole_and_layer_by_layer():
    generator = np.random.default_rng(0)
    axes = (Axis(8, 4, 1), Axis(3), Axis(3), Axis(3))
    conv = calibrate._conv(generator, axes, Value((3, 12, 12), -128), 1, True)
    result = bench(Program(Input((3, 12, 12), 1.0, -128), (conv,)), runs=20)
    low, median, high = result.microseconds
    assert 0 < low <= median <= high
    assert [layer.name for layer in result.layers] == ["conv1"]
    assert result.to_dict()["layers"][0]["measured"] > 0
    assert "an image" in result.table().renderables[1]
