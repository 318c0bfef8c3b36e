import copy

import networks
import numpy as np
import pytest
import torch
from torch import nn

from horner import models
from horner.approximation import approximate_, coefficients
from horner.approximation.arrange import arrange_
from horner.errors import ModelError, PlanError
from horner.plan import weighted

PLANS = ["out=linear/4 in=linear/4", "out=quadratic/8", "in=constant/3 row=linear; fc*: out=linear/5"]


def fit_error(model, plan, images):
    """The sum over all layers of the relative squared error of the fit."""
    fitted = approximate_(copy.deepcopy(model), plan, example=images)
    with torch.no_grad():
        pairs = zip(weighted(model).values(), weighted(fitted).values(), strict=True)
        return sum(float(((a.weight - b.weight) ** 2).sum() / (a.weight**2).sum()) for a, b in pairs)


def arranged(model, images, plan=None):
    """Arrange a copy, and check everything that must hold of any arrangement."""
    copied = copy.deepcopy(model)
    pointers = {name: value.data_ptr() for name, value in networks.tensors(copied).items()}
    moved = arrange_(copied, images, plan)
    with torch.no_grad():
        wanted, got = model(images), copied(images)
    assert torch.allclose(got, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))
    assert {name: value.data_ptr() for name, value in networks.tensors(copied).items()} == pointers
    for name, order in moved.items():
        before, after = model.get_submodule(name).weight, copied.get_submodule(name).weight
        assert sorted(order) == list(range(len(before)))
        assert torch.allclose(  # its filters moved as the order says; their channels may have moved too
            after.flatten(1).sort(1).values, before[torch.from_numpy(order)].flatten(1).sort(1).values
        )
    return copied, moved


@pytest.mark.parametrize("plan", ["out=linear/4 in=linear/4", "out=quadratic in=constant/2"])
@pytest.mark.parametrize("name", networks.FOREIGN)
def test_networks_not_written_for_horner(name, plan):
    model, images = networks.foreign(name), networks.images(4)
    copied, moved = arranged(model, images, plan)
    assert len(moved) >= 5
    assert fit_error(copied, plan, images) < 0.99 * fit_error(model, plan, images)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", ["lenet5", "lenet-fashion", "resnet20"])
def test_built_in_networks(name, plan):
    shape = (3, 32, 32) if name == "resnet20" else (1, 28, 28)
    model = networks.trained_like_(models.build(name, batch_norm=True, shape=shape))
    images = networks.images(2, shape)
    copied, moved = arranged(model, images, plan)
    assert moved
    assert fit_error(copied, plan, images) < fit_error(model, plan, images)


@pytest.mark.parametrize("name", ["lenet5-caffe", "alexnet", "vgg16"])
def test_wide_built_in_networks(name):
    shape = (1, 28, 28) if name.startswith("lenet") else (3, 32, 32)
    model = networks.trained_like_(models.build(name, batch_norm=True, shape=shape))
    plan = {"lenet5-caffe": "conv*: out=linear/4", "alexnet": "conv1: out=linear/4", "vgg16": "conv1_2: in=linear/4"}
    _, moved = arranged(model, networks.images(2, shape), plan[name])
    assert moved


@pytest.mark.parametrize("name", networks.FOREIGN)
def test_nothing_more_is_stored(name):
    model, images = networks.foreign(name), networks.images(2)
    plan = networks.MIXED[name]
    copied, _ = arranged(model, images, plan)
    counts = [
        {layer: core.shape for layer, core in coefficients(approximate_(m, plan, example=images)).items()}
        for m in (model, copied)
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("plan", ["out=linear", "out=linear/8", "in=linear/8"])
def test_shuffled_lines_are_found_again(plan):
    torch.manual_seed(1)
    first, second = nn.Conv2d(2, 8, 3), nn.Conv2d(8, 5, 3)
    ramp = torch.randperm(8).float()
    start, slope = torch.randn(2, 2, 3, 3)
    first.weight.data = start + slope * ramp[:, None, None, None]
    start, slope = torch.randn(2, 5, 1, 3, 3)
    second.weight.data = start + slope * ramp[None, :, None, None]
    model, images = nn.Sequential(first, nn.ReLU(), second, nn.Flatten()), networks.images(2, (2, 8, 8))
    plan = f"{0 if plan.startswith('out') else 2}: {plan}"
    assert fit_error(model, plan, images) > 0.01
    copied, _ = arranged(model, images, plan)
    assert fit_error(copied, plan, images) < 1e-9


def test_biases_and_scales_that_follow_a_plan_become_monotone():
    model = networks.trained_like_(
        nn.Sequential(nn.Conv2d(2, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 4, 3), nn.Flatten())
    )
    images = networks.images(2, (2, 8, 8))

    def biases(m):
        scale = m[1].weight / torch.sqrt(m[1].running_var + m[1].eps)
        return (m[0].bias - m[1].running_mean + m[1].bias / scale).detach().numpy()

    copied, moved = arranged(model, images, "0: bias=linear; 3: dense")
    assert list(moved) == ["0"]
    inversions = (np.diff(biases(copied)) < 0).sum()
    assert inversions in (0, 15)


def test_flattening_into_linear_layers_and_norms_of_rows():
    model = networks.trained_like_(
        nn.Sequential(
            nn.Conv2d(1, 12, 3), nn.MaxPool2d(2), nn.Flatten(), nn.BatchNorm1d(108), nn.ReLU(), nn.Linear(108, 8),
            nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3),
        )
    )  # fmt: skip
    _, moved = arranged(model, networks.images(4, (1, 8, 8)), "out=linear/3 in=linear/3; 5: in=linear/3 row=linear")
    assert set(moved) == {"0", "5"}


class Branches(nn.Module):
    """Sums and concatenations that tie four convolutions together, flattened side by side at the end."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.a, self.b = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.norm = nn.BatchNorm2d(18)
        self.join = nn.Conv2d(18, 5, 1)
        self.fc = nn.Linear((5 + 6) * 16, 3)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        a = self.a(x) + x
        b = self.depthwise(self.b(x))
        both = self.norm(torch.cat([a, b, a], 1))
        maps = torch.nn.functional.adaptive_avg_pool2d(torch.relu(self.join(both)), 4)
        rest = torch.nn.functional.adaptive_avg_pool2d(b, 4)
        return self.fc(torch.cat([maps.flatten(1), rest.flatten(1)], 1))


def test_ties_through_sums_and_concatenations():
    model, images = networks.trained_like_(Branches()), networks.images(4, (2, 8, 8))
    copied, moved = arranged(model, images)
    assert {"stem", "a", "b", "depthwise", "join"} >= set(moved) >= {"stem", "a", "b", "depthwise"}
    assert (moved["stem"] == moved["a"]).all()
    assert (moved["b"] == moved["depthwise"]).all()
    assert fit_error(copied, PLANS[0], images) < fit_error(model, PLANS[0], images)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.twice, self.last = nn.Conv2d(2, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        return self.last(torch.relu(self.twice(torch.relu(self.twice(self.first(x)))))).flatten(1)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 8, 3), nn.Conv2d(16, 4, 1)
        self.a, self.b = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.b.weight = self.a.weight

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.last(torch.cat([self.a(x), self.b(x)], 1)).flatten(1)


def grouped():
    return nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 4, 1))


@pytest.mark.parametrize("make", [Twice, Tied, grouped])
def test_modules_used_twice_tied_weights_and_groups_stay(make):
    _, moved = arranged(networks.trained_like_(make()), networks.images(2, (2, 8, 8)))
    assert moved == {}


def test_the_classes_keep_their_order():
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 8))
    assert arranged(model, networks.images(2, (2, 4, 4)), "out=linear/4")[1] == {}


def test_levels_do_not_depend_on_order():
    model = networks.foreign("bottleneck")
    assert arranged(model, networks.images(2), "ranked=linear/4bit")[1] == {}


def test_approximated_models_are_refused_and_left_alone():
    model, images = networks.foreign("mobilenet"), networks.images(2)
    approximate_(model, "features.0: out=linear/4")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ModelError, match=r"features\.0 is approximated .* arrange the filters before approximate_"):
        arrange_(model, images)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_plan_that_does_not_fit_is_refused():
    with pytest.raises(PlanError, match="no_such_layer matches no layer"):
        arrange_(networks.foreign("mobilenet"), networks.images(2), "no_such_layer: out=linear/4")
