import pytest
import torch
from torch import nn

from horner.approximation.api import approximate_, layer_plans
from horner.approximation.norms import SharedNorm, share_norms_
from horner.frontend.capture import capture
from horner.frontend.convert import to_program
from horner.frontend.lower import lower
from horner.models import build
from horner.plan import Plan
from horner.program.weights import Positional

IMAGES = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def trained(spec="lenet5"):
    model = build(spec, batch_norm=True, seed=0)
    with torch.no_grad():
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                norm.weight.uniform_(-1.5, 1.5)
                norm.bias.normal_()
        for _ in range(20):
            model(IMAGES)
    return model.eval()


def test_sharing_one_variance_leaves_the_function_as_it_was():
    model = trained()
    before = model(IMAGES)
    plan = Plan.parse("scale=constant")
    assert share_norms_(model, IMAGES, plan.match(model)) == ["conv1", "conv2", "fc1", "fc2"]
    assert all(isinstance(getattr(model, name), SharedNorm) for name in ("bn1", "bn2", "bn3", "bn4"))
    assert torch.allclose(model(IMAGES), before, atol=1e-4)


def test_only_layers_whose_plan_has_one_scale_are_changed():
    model = trained()
    plan = Plan.parse("scale=linear; fc*: scale=constant; fc1: scale=constant/10")
    assert share_norms_(model, IMAGES, plan.match(model)) == ["fc2"]
    assert share_norms_(model, IMAGES, Plan.parse("bits=4").match(model)) == []


@pytest.mark.parametrize("shape", [(64, 5), (64, 5, 3, 3)])
def test_in_training_the_mean_square_is_the_gains_and_the_statistics_follow(shape):
    norm = SharedNorm(5, gain=2.0, momentum=1.0)
    x = torch.randn(shape) * 3 + 1
    y = norm(x).detach()
    assert torch.allclose(y.mean([0, *range(2, y.ndim)]), torch.zeros(5), atol=1e-5)
    assert abs(float(y.square().mean()) - 4.0) < 1e-3
    assert torch.allclose(norm.eval()(x), y, atol=1e-5)
    assert not norm.weight.requires_grad
    assert norm.bias.requires_grad


def test_biases_that_follow_a_plan_are_stored_without_loss():
    plan = Plan.parse("fc1: out=linear/30 bias=linear/30 scale=constant")
    model = trained()
    share_norms_(model, IMAGES, plan.match(model))
    approximate_(model, plan)
    with torch.no_grad():
        for _ in range(200):  # means of filters on a polynomial lie on one too, once they have been measured
            model.train()(IMAGES)
    model.eval()
    network = lower(model, capture(model, IMAGES), layer_plans(model), integer=False)
    program = to_program(model, IMAGES, integer=False)
    layer = next(layer for layer, name in zip(program.layers, program.names, strict=True) if name == "linear1")
    assert isinstance(layer.bias, Positional)
    assert layer.bias.core.size == 8
    assert layer.output.multiplier.core.size == 1
    assert torch.allclose(network(IMAGES), model(IMAGES), atol=1e-3)
