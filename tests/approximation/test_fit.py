import copy

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.nn import functional as F

from horner.approximation import approximate_, approximated, fit_, originals
from horner.errors import DataError, ModelError
from horner.models import build


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    """Smooth noise: neighbouring pixels and channels resemble each other, as in pictures."""
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    noise = F.avg_pool2d(noise, 3, 1, 1) + 0.3 * noise
    return noise + 0.5 * noise.roll(1, 1) + 0.2


def seeded(make, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return make().eval()


def error(model: nn.Module, reference: nn.Module, x: torch.Tensor) -> float:
    with torch.no_grad():
        return float((model(x) - reference(x)).double().square().sum() / reference(x).double().square().sum())


GEOMETRIES = {
    "plain": lambda: nn.Conv2d(8, 12, 3),
    "no bias": lambda: nn.Conv2d(8, 12, 3, bias=False),
    "stride, padding, dilation": lambda: nn.Conv2d(8, 12, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 2)),
    "same, uneven": lambda: nn.Conv2d(8, 12, (4, 3), padding="same", dilation=(2, 1)),
    "valid": lambda: nn.Conv2d(8, 12, 3, padding="valid"),
    "groups": lambda: nn.Conv2d(8, 12, 3, groups=2, padding=1),
    "depthwise": lambda: nn.Conv2d(8, 16, 3, groups=8),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(8 * 9 * 8, 12)),
}
PLANS = (
    "in=linear/4",
    "out=linear/4",
    "out=linear/3 in=linear row=linear/2",
    "out=quadratic row=quadratic col=linear",
    "out=linear/5 in=constant/2 col=quadratic",
    "ranked=linear/2bit",
    "ranked=quadratic/2bit zero per_filter",
)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_output_error_is_never_more_than_the_weight_fits(geometry, plan):
    reference = seeded(GEOMETRIES[geometry])
    x = images(20, 8, 9, 8)
    model = approximate_(copy.deepcopy(reference), plan, example=x)
    before = error(model, reference, x)
    (fit,) = fit_(model, x, reference, damping=1e-8).values()
    after = error(model, reference, x)
    assert fit.before == pytest.approx(before, rel=1e-3, abs=1e-9), "the moments tell the true error"
    assert fit.after == pytest.approx(after, rel=1e-3, abs=1e-9)
    assert after <= before * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("geometry", ["stride, padding, dilation", "same, uneven", "groups", "depthwise", "linear"])
def test_no_coefficients_do_better(geometry, plan):
    """The gradient of the output's error vanishes at the fit, with autograd as the judge."""
    reference = seeded(GEOMETRIES[geometry]).double()
    x = images(20, 8, 9, 8).double()
    model = approximate_(copy.deepcopy(reference), plan, example=x)
    fit_(model, x, reference, damping=1e-12)
    ((module, _),) = approximated(model).values()
    curve, bias = originals(module)[-1], module.bias
    wanted = reference(x).detach()
    loss = (model(x) - wanted).square().sum()
    gradient = torch.autograd.grad(loss, (curve, bias))
    (scale,) = torch.autograd.grad(model(x).square().sum(), curve)
    assert all(float(g.norm()) < 1e-5 * float(scale.norm()) for g in gradient)


@pytest.mark.parametrize(
    "plan", ["ranked=linear/2bit", "ranked=linear/3level zero", "ranked=quadratic/3bit per_filter"]
)
def test_levels_are_chosen_for_the_output(plan):
    """Ranked weights keep neither the nearest levels nor the curve, and both pay."""
    reference = seeded(lambda: nn.Conv2d(8, 12, 3))
    x = images(60, 8, 9, 8)
    model = approximate_(copy.deepcopy(reference), plan)
    nearest = error(model, reference, x)
    fit_(model, x, reference)
    assert error(model, reference, x) < 0.65 * nearest
    held_out = images(60, 8, 9, 8, seed=1)
    assert error(model, reference, held_out) < 0.75 * nearest
    ((module, form),) = approximated(model).values()
    assert torch.equal(form(*originals(module)), originals(module)[0]), "latent weights lie on their levels"


def test_a_network_that_fits_its_plan_is_left_as_it_is():
    reference = approximate_(seeded(lambda: nn.Conv2d(4, 8, 3)), "out=linear/4 in=linear row=linear")
    model = copy.deepcopy(reference)
    x = images(10, 4, 8, 8)
    (fit,) = fit_(model, x, reference).values()
    assert fit.before < 1e-10
    torch.testing.assert_close(model.weight, reference.weight)
    torch.testing.assert_close(model.bias, reference.bias)


def test_the_bias_takes_the_mean_error():
    reference = seeded(lambda: nn.Conv2d(8, 12, 3))
    x = images(20, 8, 9, 8)
    free, fixed = (approximate_(copy.deepcopy(reference), "in=linear row=linear") for _ in range(2))
    fit_(free, x, reference)
    fit_(fixed, x, reference, bias=False)
    assert torch.equal(fixed.bias, reference.bias)
    with torch.no_grad():
        assert (free(x) - reference(x)).mean((0, 2, 3)).abs().max() < 1e-5
    assert error(free, reference, x) < error(fixed, reference, x)


def test_layer_after_layer_makes_good_the_errors_before():
    reference = build("lenet5", seed=0).eval()
    x = images(150, 1, 28, 28)
    plan = "conv*: out=linear/4 row=linear; fc1: in=linear/5; fc2: in=linear/4; fc3: dense"
    weights, parallel, sequential = (approximate_(copy.deepcopy(reference), plan) for _ in range(3))
    fit_(parallel, x, reference, sequential=False)
    fits = fit_(sequential, x, reference, sequential=True)
    assert list(fits) == ["conv1", "conv2", "fc1", "fc2"]
    assert error(sequential, reference, x) < 0.8 * error(parallel, reference, x)
    assert error(parallel, reference, x) < 0.8 * error(weights, reference, x)
    held_out = images(100, 1, 28, 28, seed=1)
    assert error(sequential, reference, held_out) < error(weights, reference, held_out)


def test_parallel_fits_see_the_dense_activations():
    reference = build("lenet5", seed=0).eval()
    x = images(30, 1, 28, 28)
    model = approximate_(copy.deepcopy(reference), "conv*: row=linear")
    fit_(model, x, reference, sequential=False)
    alone = copy.deepcopy(reference)
    approximate_(alone, "conv2: row=linear")
    fit_(alone, x, reference)
    torch.testing.assert_close(model.conv2.weight, alone.conv2.weight)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 30), st.integers(0, 2**31))
def test_batches_are_one_calibration_set(size, seed):
    reference = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), seed)
    x = images(30, 3, 7, 7, seed=seed)
    whole, parts = (approximate_(copy.deepcopy(reference), "row=linear out=constant/2") for _ in range(2))
    fit_(whole, x, reference, batch_size=1000)
    fit_(parts, [(batch, None) for batch in x.split(size)], reference)
    torch.testing.assert_close(whole.state_dict(), parts.state_dict(), rtol=1e-3, atol=1e-4)


def test_a_layer_called_twice_is_fitted_to_both_calls():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(input=F.relu(self.conv(x)))

    reference = seeded(Twice)
    x = images(20, 4, 6, 6)
    model = approximate_(copy.deepcopy(reference), "row=linear")
    before = error(model, reference, x)
    fit_(model, x, reference)
    assert error(model, reference, x) < before


def test_large_inputs_are_unfolded_in_parts(monkeypatch):
    reference = seeded(lambda: nn.Conv2d(8, 12, 3))
    x = images(12, 8, 9, 8)
    whole, parts = (approximate_(copy.deepcopy(reference), "in=linear") for _ in range(2))
    fit_(whole, x, reference)
    monkeypatch.setattr("horner.approximation.problem.LARGEST_CHUNK", 1)
    fit_(parts, x, reference)
    torch.testing.assert_close(whole.weight, parts.weight)


def test_modes_and_hooks_are_left_as_they_were():
    model = build("lenet5", batch_norm=True, seed=0).train()
    model.bn2.eval()
    reference = copy.deepcopy(model)
    approximate_(model, "conv*: row=linear")
    norms = {name: value.clone() for name, value in model.state_dict().items() if "running" in name}
    fit_(model, images(10, 1, 28, 28), reference)
    assert model.training
    assert model.bn1.training
    assert not model.bn2.training
    assert not model.conv1._forward_hooks
    assert all(torch.equal(value, norms[name]) for name, value in model.state_dict().items() if name in norms)


def test_layers_that_the_images_do_not_reach_stay():
    reference = seeded(lambda: nn.Conv2d(2, 4, 3))
    reference.extra = nn.Linear(8, 4)
    model = approximate_(copy.deepcopy(reference), "in=linear")
    extra = model.extra.weight.detach().clone()
    assert list(fit_(model, images(5, 2, 6, 6), reference)) == [""]
    assert torch.equal(model.extra.weight, extra)


def test_inputs_of_nothing_but_zeros_change_nothing():
    reference = seeded(lambda: nn.Conv2d(2, 4, 3, bias=False))
    model = approximate_(copy.deepcopy(reference), "row=linear")
    before = model.weight.detach().clone()
    fit_(model, torch.zeros(4, 2, 6, 6), reference)
    torch.testing.assert_close(model.weight, before)


def test_what_cannot_be_fitted_is_said():
    reference = seeded(lambda: nn.Sequential(nn.Conv2d(2, 4, 3)))
    model = approximate_(copy.deepcopy(reference), "row=linear")
    x = images(4, 2, 6, 6)
    with pytest.raises(ModelError, match="no layer of the model is approximated"):
        fit_(reference, x, reference)
    with pytest.raises(ModelError, match="the reference has no layer 0"):
        fit_(model, x, nn.ReLU())
    with pytest.raises(
        ModelError, match=r"layer 0 of the reference has a weight of shape torch.Size\(\[4, 1, 3, 3\]\)"
    ):
        fit_(model, x, nn.Sequential(nn.Conv2d(1, 4, 3)))
    with pytest.raises(DataError, match="no calibration images"):
        fit_(model, [], reference)
    with pytest.raises(DataError, match="layer 0: its activations on the calibration images are not finite"):
        fit_(model, torch.full_like(x, np.nan), reference)
