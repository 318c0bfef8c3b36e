import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from horner.approximation.api import approximate_, coefficients
from horner.approximation.factored import convolve, factored, worthwhile
from horner.approximation.positional import PositionalWeight
from horner.basis import Axis

AXES = st.builds(Axis, st.integers(1, 7), st.integers(1, 7), st.sampled_from([None, 0, 1, 2]))


@given(AXES, AXES, st.builds(Axis, st.integers(1, 3), st.none(), st.sampled_from([None, 1, 2])), st.integers(1, 2))
def test_factored_and_dense_convolution_are_one_function(out, channels, side, stride):
    form = PositionalWeight((out, channels, side, side)).double()
    theta = torch.randn(form.core, dtype=torch.float64)
    x = torch.randn(2, channels.length, 6, 6, dtype=torch.float64)

    def kernel(x, weight):
        return F.conv2d(x, weight, None, stride, 1)

    assert torch.allclose(convolve(x, form, theta, kernel), kernel(x, form(theta)), atol=1e-5)


def test_a_model_computes_and_learns_the_same_and_is_itself_again_afterwards():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(12, 16, 3, padding=1, bias=True), nn.ReLU(), nn.Conv2d(16, 8, 1, groups=2))
    approximate_(model, "out=linear/8 in=linear/6; 2: out=linear/4")
    x = torch.randn(3, 12, 6, 6)
    model(x).square().sum().backward()
    wanted = [parameter.grad.clone() for parameter in model.parameters()]
    dense = model(x)
    model.zero_grad()
    with factored(model):
        assert torch.allclose(model(x), dense, atol=1e-5)
        model(x).square().sum().backward()
    for parameter, gradient in zip(model.parameters(), wanted, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-3, atol=1e-4)
    assert "forward" not in model[0].__dict__
    assert coefficients(model)["0"].shape == (4, 4, 3, 3)


@pytest.mark.parametrize(
    ("plan", "better"),
    [("out=linear/8 in=linear/8", True), ("row=linear", False), ("ranked=linear/2bit", False), ("out=linear/2", False)],
)
def test_only_what_saves_work_is_factored(plan, better):
    layer = approximate_(nn.Conv2d(32, 32, 3), plan)
    form = layer.parametrizations.weight[0]
    assert worthwhile(form) is better
    assert not worthwhile(form, groups=2)
