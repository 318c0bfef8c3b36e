import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from horner.approximation import (
    PositionalWeight,
    RankedWeight,
    approximate_,
    approximated,
    coefficients,
    fold_,
    layer_plans,
    originals,
)
from horner.errors import DataError, ModelError, PlanError
from horner.models import build
from horner.plan import LayerPlan, Plan
from horner.program.weights import Positional, Ranked

PLAN = (
    "conv1: row=linear col=quadratic; conv2: afsc afmc bits=6; fc1: in=linear/4 map=5x5 row=linear; "
    "fc2: ranked=linear/4bit"
)


@pytest.fixture
def model() -> nn.Module:
    return build("lenet5", seed=0)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_layers_are_approximated_as_planned(model, x):
    shapes = {name: p.shape for name, p in model.named_parameters()}
    assert approximate_(model, PLAN) is model
    layers = approximated(model)
    assert list(layers) == ["conv1", "conv2", "fc1", "fc2"]
    assert isinstance(layers["fc2"][1], RankedWeight)
    assert [str(axis) for axis in layers["fc1"][1].axes] == ["dense", "linear/4", "linear", "dense"]
    assert all(module.weight.shape == shapes[f"{name}.weight"] for name, (module, _) in layers.items())
    counts = {name: [p.numel() for p in originals(module)] for name, (module, _) in layers.items()}
    assert counts == {"conv1": [6 * 2 * 3], "conv2": [8 * 4 * 25], "fc1": [120 * 8 * 2 * 5], "fc2": [84 * 120, 2]}
    assert model(x).shape == (4, 10)


def test_parameter_counts_are_those_the_plan_states(model):
    plan = Plan.parse("out=linear/4 in=linear/4; fc3: dense")
    rows = {row.name: row.coefficients for row in plan.rows(model)}
    approximate_(model, plan)
    assert {name: value.numel() for name, value in coefficients(model).items()} == {
        name: count for name, count in rows.items() if name != "fc3"
    }


def test_the_map_is_found_from_an_example(model, x):
    approximate_(model, "row=linear col=linear", example=x)
    assert approximated(model)["fc1"][1].view == (120, 16, 5, 5)
    assert approximated(model)["fc2"][1].view == (84, 120, 1, 1)
    with pytest.raises(PlanError, match=r"fc1 .*needs the map"):
        approximate_(build("lenet5"), "row=linear")


def test_weights_that_are_polynomials_are_reproduced():
    layer = nn.Conv2d(8, 4, 5)
    out, in_, row, col = torch.meshgrid(*(torch.arange(n).float() for n in (4, 8, 5, 5)), indexing="ij")
    layer.weight.data = (1 + out) * (in_ - 3) * (row**2 - row / 2) / 50 + col
    dense = layer.weight.detach().clone()
    approximate_(layer, "out=linear/4 in=linear/8 row=quadratic col=linear")
    torch.testing.assert_close(layer.weight.detach(), dense, rtol=0, atol=1e-5 * float(dense.abs().max()))


def test_groups_keep_their_own_in_axis():
    layer = nn.Conv2d(8, 16, 3, groups=8)
    approximate_(layer, "out=linear/4 in=linear row=linear")
    assert originals(layer)[0].shape == (8, 1, 2, 3)
    assert layer(torch.zeros(1, 8, 5, 5)).shape == (1, 16, 3, 3)


def test_coefficients_are_those_a_program_stores(model):
    approximate_(model, PLAN)
    forms = approximated(model)
    for name, values in coefficients(model).items():
        module, form = forms[name]
        core = values.float().numpy()
        if isinstance(form, PositionalWeight):
            stored = Positional(form.axes, core, bits=32)
        else:
            levels = form.levels(*originals(module)).reshape(84, 120, 1, 1).numpy()
            stored = Ranked(levels, form.level_bits, form.degree, form.zero, core, bits=32)
        expanded = torch.tensor(stored.expand()).reshape(module.weight.shape)
        torch.testing.assert_close(module.weight.detach(), expanded, rtol=0, atol=1e-5)


def test_folding_bakes_the_weights(model, x):
    names = [name for name, _ in model.named_parameters()]
    approximate_(model, PLAN)
    out = model(x)
    weights = {name: module.weight.detach().clone() for name, (module, _) in approximated(model).items()}
    assert fold_(model) is model
    assert not approximated(model)
    assert type(model.conv1) is nn.Conv2d
    assert [name for name, _ in model.named_parameters()] == names
    assert all(torch.equal(model.get_submodule(name).weight, weight) for name, weight in weights.items())
    assert torch.equal(model(x), out)
    assert layer_plans(model) == dict.fromkeys(["conv1", "conv2", "fc1", "fc2", "fc3"], LayerPlan())


def test_folding_frozen_layers_gives_frozen_parameters(model):
    approximate_(model, PLAN).requires_grad_(False)
    fold_(model)
    assert all(isinstance(layer.weight, nn.Parameter) for layer in (model.conv1, model.fc2))
    assert not any(p.requires_grad for p in model.parameters())


def test_a_deep_copy_stands_on_its_own(model, x):
    approximate_(model, PLAN)
    twin = copy.deepcopy(copy.deepcopy(model))
    out = model(x)
    assert torch.equal(twin(x), out)
    originals(twin.conv1)[0].data.zero_()
    assert torch.equal(model(x), out)
    parametrize.remove_parametrizations(twin.conv2, "weight")
    fold_(twin)
    assert torch.equal(model(x), out)
    assert list(approximated(model)) == ["conv1", "conv2", "fc1", "fc2"]
    fold_(model)
    assert torch.equal(model(x), out)


def test_state_dicts_load_into_a_model_approximated_by_the_same_plan(model, x, tmp_path):
    approximate_(model, PLAN)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other = approximate_(build("lenet5", seed=1), PLAN)
    assert not torch.equal(other(x), model(x))
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(other(x), model(x))
    with pytest.raises(RuntimeError, match="Missing key"):
        build("lenet5").load_state_dict(model.state_dict())


def test_an_optimiser_trains_the_coefficients(model, x):
    approximate_(model, PLAN)
    before = {name: value.clone() for name, value in coefficients(model).items()}
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    losses = []
    for _ in range(5):
        loss = F.cross_entropy(model(x), torch.arange(4))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(not torch.equal(value, before[name]) for name, value in coefficients(model).items())
    for module, form in approximated(model).values():
        if isinstance(form, PositionalWeight):  # what was trained still lies on the polynomials
            torch.testing.assert_close(form(form.right_inverse(module.weight)), module.weight)


def test_gradients_are_the_projected_dense_gradients(model, x):
    dense = fold_(approximate_(copy.deepcopy(model), "out=linear/4 in=linear/4"))
    approximate_(model, "out=linear/4 in=linear/4")
    for network in (dense, model):
        F.cross_entropy(network(x), torch.arange(4)).backward()
    for name, (module, form) in approximated(model).items():
        expected = form.right_inverse(dense.get_submodule(name).weight.grad)
        torch.testing.assert_close(originals(module)[0].grad, expected, rtol=1e-4, atol=1e-6)


def test_autocast_trains_with_exact_weights(model, x):
    approximate_(model, PLAN)
    exact = model.conv2.weight
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.conv2.weight, exact)
        out = model(x)
        loss = F.cross_entropy(out.float(), torch.arange(4))
    loss.backward()
    assert out.dtype == torch.bfloat16
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_models_compute_and_train_the_same(backend):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    approximate_(model, "0: out=linear/4 row=linear; 3: ranked=linear/3bit")
    x = torch.randn(2, 3, 8, 8)
    torch._dynamo.reset()
    out = torch.compile(model, backend=backend, fullgraph=True)(x)
    out.square().sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    expected = model(x)
    expected.square().sum().backward()
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    for ours, p in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(ours, p.grad, rtol=1e-3, atol=1e-4)


def test_models_horner_does_not_know(x):
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(1, 16, 7, stride=7)
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
            self.norm = nn.LayerNorm(16)
            self.recurrent = nn.GRU(16, 8, batch_first=True)
            self.head = nn.Linear(8, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.embed(x).flatten(2).mT
            tokens = self.norm(tokens + self.attention(tokens, tokens, tokens)[0])
            return self.head(self.recurrent(tokens)[0][:, -1])

    model = approximate_(Attending(), "afsc afmc; embed: row=quadratic col=quadratic")
    assert list(approximated(model)) == ["embed", "attention.out_proj", "head"]
    model(x).sum().backward()
    assert originals(model.attention.out_proj)[0].grad is not None


def test_a_filter_leaves_layers_alone(model):
    approximate_(model, "in=linear", filter_fn=lambda module, name: isinstance(module, nn.Linear) and name != "fc3")
    assert list(approximated(model)) == ["fc1", "fc2"]


def test_the_plan_is_remembered(model):
    approximate_(model, PLAN)
    plans = layer_plans(model)
    assert plans == Plan.parse(PLAN).match(model)
    assert layer_plans(copy.deepcopy(model)) == plans
    assert layer_plans(model, "bits=5; fc1: row=linear")["fc1"].map == (5, 5)
    assert layer_plans(model, "bits=5")["conv2"] == LayerPlan(bits=5)


def test_calibration_fits_the_outputs(model, x):
    reference = copy.deepcopy(model)
    plain = approximate_(copy.deepcopy(model), "in=linear/4; fc3: dense")
    approximate_(model, "in=linear/4; fc3: dense", calibration=torch.cat([x, x.flip(2), x.flip(3)]))

    def error(other: nn.Module) -> float:
        return float((other(x) - reference(x)).square().sum().detach())

    assert error(model) < 0.5 * error(plain)


def test_what_cannot_be_approximated_is_named_and_the_model_stays(model):
    before, classes = snapshot(model), [type(m) for m in model.modules()]

    def refused(error: type[Exception], match: str | None, plan: str = "in=linear", **options) -> None:
        with pytest.raises(error, match=match):
            approximate_(model, plan, **options)
        assert [type(m) for m in model.modules()] == classes
        assert snapshot(model).keys() == before.keys()
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert layer_plans(model)["conv1"] == LayerPlan()

    refused(PlanError, "conv3 matches no layer", "conv3: in=linear")
    refused(ModelError, "does not run on the example", "row=linear", example=torch.zeros(1, 2, 3, 4))
    refused(DataError, "no calibration images", PLAN, calibration=torch.zeros(0, 1, 28, 28))
    refused(DataError, "layer conv1: .* not finite", PLAN, calibration=torch.full((2, 1, 28, 28), float("nan")))
    refused(KeyboardInterrupt, None, PLAN, calibration=interrupted())
    model.conv2.padding_mode = "reflect"
    refused(ModelError, r"layer conv2 \(Conv2d\) pads with 'reflect'.* rule `conv2: dense`")
    approximate_(copy.deepcopy(model), "in=linear; conv2: dense")
    model.conv2.padding_mode = "zeros"
    model.fc2.weight = nn.Parameter(torch.full((84, 120), float("inf")))
    before = snapshot(model)
    refused(ModelError, "layer fc2 .* not finite")


def interrupted():
    yield torch.zeros(1, 1, 28, 28)
    raise KeyboardInterrupt


def test_approximating_twice_is_an_error_that_names_the_layer(model, x):
    approximate_(model, "conv2: in=linear/4")
    out = model(x)
    with pytest.raises(ModelError, match=r"layer conv2 \(ParametrizedConv2d\) is approximated already"):
        approximate_(model, "conv*: row=linear")
    assert torch.equal(model(x), out)
    assert list(approximated(model)) == ["conv2"]
    approximate_(model, "conv1: row=linear", filter_fn=lambda module, name: name == "conv1")
    assert list(approximated(model)) == ["conv1", "conv2"]


def test_layers_with_other_tricks_are_refused():
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    with pytest.raises(ModelError, match=r"layer 0 .* has another parametrization, _WeightNorm"):
        approximate_(normed, "in=linear")
    with pytest.raises(PlanError, match=r"layer 0 .* has no shape yet"):
        approximate_(nn.Sequential(nn.LazyLinear(4)), "0: ranked=linear/4bit")
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    with pytest.raises(ModelError, match="0 and 2 share one weight"):
        approximate_(tied, "in=linear")
