import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import generators
from vectors import ROUND_SHIFT

from horner.frontend.quantisers import Grid, best_step, nearest, rescaled, snap, thin
from horner.program.integer import quantise


def test_rounding_is_that_of_the_integer_programs():
    for value, shift, wanted in ROUND_SHIFT:
        if abs(value) < 2**40:
            assert float(nearest(torch.tensor(value / 2**shift, dtype=torch.float64))) == wanted


@given(st.floats(1e-3, 10), st.sampled_from([(-math.inf, math.inf), (0.0, math.inf), (0.0, 6.0)]), generators())
def test_a_grid_holds_the_integers_of_the_program(spread, clamp, generator):
    values = torch.from_numpy(generator.standard_normal(200) * spread)
    grid = Grid(*clamp).double()
    grid.calibrate(values)
    with torch.no_grad():
        got = grid(torch.clamp(values, *clamp) / grid.scale) + grid.zero_point
    low, high = grid.limits()
    assert -128 <= low <= int(grid.zero_point) <= high <= 127
    clamped = np.clip(values.numpy(), *clamp)
    wanted = np.clip(quantise(clamped, float(grid.scale.detach()), int(grid.zero_point)), low, high)
    np.testing.assert_array_equal(got.numpy(), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("low", "high"), [(-1, 2), (0, 3), (1, 2)])
def test_gradients_pass_inside_the_range_bounds_included_and_stop_outside(low, high, dtype):
    inside = torch.tensor([low, low + 0.6, high], dtype=dtype)
    outside = torch.tensor([low - 2, low - 1e-6, high + 1e-6, high + 3], dtype=dtype)
    values = torch.cat([inside, outside]).requires_grad_()
    snap(values, low, high).sum().backward()
    assert values.grad.tolist() == [1.0] * 3 + [0.0] * 4


@given(generators(), st.integers(2, 8))
def test_no_step_tried_is_better_than_the_best_one(generator, bits):
    values = torch.from_numpy(generator.standard_t(3, 300))
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def error(step):
        return float(((torch.clamp(torch.round(values / step), low, high) * step - values) ** 2).mean())

    best = best_step(values, low, high)
    widest = max(float(values.max()) / high, float(values.min()) / low)
    assert error(best) <= error(widest) + 1e-12
    assert all(error(best) <= error(widest * 2 ** (-k / 16)) + 1e-12 for k in range(33))


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=4), st.sampled_from([8, 15, 16]))
def test_rescaling_keeps_as_many_bits_as_there_are(ratios, bits):
    multipliers, shift = rescaled(torch.tensor(ratios, dtype=torch.float64), bits)
    assert 0 <= shift <= 62
    assert float(multipliers.max()) <= 2 ** (bits - 1) - 1 or max(ratios) > 2 ** (bits - 1) - 1
    if max(ratios) <= 2 ** (bits - 2):
        error = (multipliers * 2.0**-shift - torch.tensor(ratios, dtype=torch.float64)).abs().max()
        assert float(error) <= max(ratios) * 2.0 ** (2 - bits)


def test_thinning_keeps_the_extremes_and_everything_when_few():
    values = torch.randn(100_000)
    values[1], values[-2] = 50.0, -60.0
    thinned = thin(values, 1000)
    assert len(thinned) == 1000
    assert (thinned.max(), thinned.min()) == (50.0, -60.0)
    assert torch.equal(thin(values[:10]), values[:10])


def test_a_blank_activation_still_has_a_grid():
    grid = Grid(0.0)
    grid.calibrate(torch.zeros(10))
    assert grid.limits() == (-128, 127)
    assert float(grid.scale.detach()) == pytest.approx(1.0)
