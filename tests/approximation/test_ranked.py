import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from horner.approximation.ranked import RankedWeight
from horner.plan import RankedPlan
from horner.program.weights import Ranked

plans = st.builds(RankedPlan, st.integers(0, 2), st.integers(1, 4), st.booleans(), st.booleans())


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def made(plan: RankedPlan, weight: torch.Tensor) -> tuple[RankedWeight, torch.Tensor, torch.Tensor]:
    form = RankedWeight(plan, weight.shape).to(weight.dtype)
    latent, curve = form.right_inverse(weight)
    return form, latent, curve


@settings(deadline=None, max_examples=60)
@given(plans, st.integers(0, 2**31))
def test_every_weight_takes_the_nearest_value_of_its_curve(plan, seed):
    weight = gaussian(5, 3, 2, 2, seed=seed)
    form, latent, curve = made(plan, weight)
    stored = Ranked(
        form.levels(latent, curve).numpy(), plan.level_bits, plan.degree, plan.zero,
        form.coefficients(latent, curve).float().numpy(), bits=32,
    )  # fmt: skip
    quantised = form(latent, curve)
    np.testing.assert_allclose(quantised.numpy(), stored.expand(), atol=1e-5)
    table = np.broadcast_to(stored.table, (5, 1 << plan.level_bits))
    distances = np.abs(weight.numpy().reshape(5, -1, 1) - table[:, None])
    np.testing.assert_allclose((quantised - weight).abs().numpy().reshape(5, -1), distances.min(-1), atol=1e-5)
    if plan.zero:
        assert (quantised[form.levels(latent, curve) == 0] == 0).all()


@pytest.mark.parametrize("plan", [RankedPlan(1, 3), RankedPlan(1, 3, per_filter=True), RankedPlan(2, 3, zero=True)])
def test_weights_on_a_curve_are_reproduced(plan):
    levels = torch.arange(96).reshape(4, 6, 2, 2) % 8
    node = torch.arange(8.0) - float(plan.zero)
    curve = 0.25 * node - 0.8 + (0.04 * node * (node - 1) if plan.degree == 2 else 0)
    if plan.zero:
        curve[0] = 0
    weight = curve[levels]
    form, latent, curve = made(plan, weight)
    torch.testing.assert_close(form(latent, curve), weight, atol=1e-6, rtol=0)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 9), st.floats(0.05, 1.95), st.integers(0, 2), st.booleans(), st.integers(0, 2**31))
def test_the_zone_of_zero_is_as_many_times_as_wide(levels, dead, degree, per_filter, seed):
    weight = gaussian(5, 30, seed=seed)
    form, latent, curve = made(RankedPlan.of(degree, levels, per_filter, zero=True, dead=dead), weight)
    nearest = RankedWeight(RankedPlan.of(degree, levels, per_filter, zero=True), weight.shape).double()
    got, rounded = form(latent, curve), nearest(latent, curve)
    assert int(form.levels(latent, curve).max()) < levels
    zone = (nearest(latent / dead, curve) == 0).reshape(5, 30)  # where w / dead is nearest to 0
    assert (got[zone] == 0).all()
    outside = ~zone & (rounded != 0)
    assert torch.equal(got[outside], rounded[outside])
    assert (got[~zone] != 0).all()


def test_a_wider_zone_of_zero_costs_error_and_saves_entropy():
    weight = gaussian(64, 64)
    errors, entropies = [], []
    for dead in (1.0, 1.2, 1.4):
        form, latent, curve = made(RankedPlan.of(1, 3, zero=True, dead=dead), weight)
        share = torch.bincount(form.levels(latent, curve).flatten().long()).double() / weight.numel()
        errors.append(float((form(latent, curve) - weight).square().mean()))
        entropies.append(float(-(share * share.log2()).sum()))
    assert errors == sorted(errors)
    assert entropies == sorted(entropies, reverse=True)
    assert entropies[2] < 0.75 * entropies[0]


def test_ternary_weights_of_a_gaussian_are_the_best_there_are():
    # J. Max, "Quantizing for minimum distortion", 1960, table I: three levels, at 0 and 1.224, error 0.1902
    form, latent, curve = made(RankedPlan.of(1, 3, zero=True), gaussian(64, 32, 3, 3))
    quantised = form(latent, curve)
    assert set(form.levels(latent, curve).unique().tolist()) == {0, 1, 2}
    assert (quantised - latent).square().mean() < 1.02 * 0.1902 * latent.var()
    low, zero, high = quantised.unique().tolist()
    assert zero == 0
    assert -low == pytest.approx(1.224, rel=0.03)
    assert high == pytest.approx(1.224, rel=0.03)


def test_two_bits_with_zero_hold_ternary_weights():
    weight = 0.3 * (torch.arange(300).reshape(10, 30) % 3 - 1).double()
    form, latent, curve = made(RankedPlan(1, 2, zero=True), weight)
    torch.testing.assert_close(form(latent, curve), weight)


def test_four_bits_come_near_the_best_uniform_quantiser_of_gaussian_weights():
    # J. Max, "Quantizing for minimum distortion", 1960, table II: 16 equidistant levels, 8 levels
    weight = gaussian(64, 32, 3, 3)
    for bits, published in ((4, 0.01154), (3, 0.03744)):
        form, latent, curve = made(RankedPlan(1, bits), weight)
        assert (form(latent, curve) - weight).square().mean() < 1.05 * published * weight.var()


def test_more_freedom_never_costs_much():
    weight = gaussian(8, 9, 3, 3).pow(3)

    def error(**options) -> float:
        form, latent, curve = made(RankedPlan(**{"degree": 1, "level_bits": 3, **options}), weight)
        return float((form(latent, curve) - weight).square().mean())

    assert error(per_filter=True) < error()
    assert error(degree=2) < 1.001 * error()
    assert error(level_bits=5) < error(level_bits=4) < error()


def test_curves_are_a_least_squares_fit_to_the_weights_of_each_level():
    weight = gaussian(3, 40, 1, 1)
    form, latent, curve = made(RankedPlan(2, 3, per_filter=True), weight)
    levels = form.levels(latent, curve)
    for row in range(3):
        node = levels[row].flatten().double().numpy()
        basis = np.stack([np.ones_like(node), node, node * (node - 1) / 2], 1)
        best = np.linalg.lstsq(basis, weight[row].flatten().numpy(), rcond=None)[0]
        np.testing.assert_allclose(form(latent, curve)[row].flatten(), basis @ best, atol=1e-6)


def test_the_gradient_reaches_latent_weights_and_curve():
    form, latent, curve = made(RankedPlan(1, 2, zero=True), gaussian(4, 5))
    latent.requires_grad_()
    curve.requires_grad_()
    upstream = gaussian(4, 5, seed=1)
    (form(latent, curve) * upstream).sum().backward()
    torch.testing.assert_close(latent.grad, upstream)
    basis = form.basis(form.levels(latent, curve)).double()
    torch.testing.assert_close(curve.grad, (basis * upstream).sum((1, 2))[None], atol=1e-6, rtol=1e-6)


def test_expanding_other_coefficients_keeps_the_levels():
    form, latent, curve = made(RankedPlan(1, 3, per_filter=True), gaussian(4, 5, 3, 3))
    coefficients = form.coefficients(latent, curve)
    torch.testing.assert_close(form.expand(coefficients, latent, curve), form(latent, curve))
    torch.testing.assert_close(form.expand(2 * coefficients, latent, curve), 2 * form(latent, curve))
    torch.testing.assert_close(form.theta(coefficients), curve)
    assert form.curves == (4, 2)
    assert (form.degree, form.level_bits, form.zero) == (1, 3, False)


def test_settled_latent_weights_lie_on_their_levels():
    form, latent, curve = made(RankedPlan(1, 3), gaussian(4, 5))
    levels = form.levels(latent, curve)
    settled, _ = form.settled(latent, curve, levels)
    assert torch.equal(settled, form(latent, curve))
    assert torch.equal(form.levels(settled, curve), levels)


def test_a_falling_curve_and_equal_weights_work():
    form, latent, curve = made(RankedPlan(1, 2), gaussian(4, 5))
    assert torch.equal(form(-latent, -curve), -form(latent, curve))
    assert torch.equal(form.levels(-latent, -curve), form.levels(latent, curve))
    for value in (0.0, 2.5):
        form, latent, curve = made(RankedPlan(2, 2, per_filter=True), torch.full((3, 4), value))
        torch.testing.assert_close(form(latent, curve), latent)


def test_autocast_does_not_round_the_weight():
    form, latent, curve = made(RankedPlan(1, 4), gaussian(4, 50, dtype=torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = form(latent, curve)
    assert torch.equal(inside, form(latent, curve))
