import networks
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from horner import models
from horner.approximation import approximate_
from horner.backends import reference
from horner.errors import ModelError
from horner.frontend.capture import capture
from horner.frontend.convert import quantised, to_program
from horner.frontend.freeze import freeze
from horner.frontend.lower import lower
from horner.frontend.network import AddStage, ConvStage, FlattenStage, PoolStage
from horner.plan import LayerPlan, Plan


def float_outputs(model, images):
    program = freeze(lower(model, capture(model, images), integer=False), integer=False)
    return reference.run(program, images.numpy())


def own_outputs(model, images):
    with torch.no_grad():
        return model.eval()(images).numpy()


def assert_same(got, wanted, relative=1e-4):
    np.testing.assert_allclose(got, wanted, rtol=0, atol=relative * max(np.abs(wanted).max(), 1e-3))


def kinds(model, images):
    return [type(stage).__name__ for stage in lower(model, capture(model, images)).layers()]


@settings(max_examples=40)
@given(model=networks.random_networks())
def test_the_float_program_computes_what_the_model_does(model):
    images = networks.images(4, (2, 9, 8))
    assert_same(float_outputs(model, images), own_outputs(model, images))


@settings(max_examples=25)
@given(model=networks.random_networks())
def test_the_integer_program_the_simulation_and_the_dense_form_agree_bit_for_bit(model):
    images = networks.images(8, (2, 9, 8))
    network = quantised(model, images)
    program = freeze(network)
    outputs = reference.run(program, images.numpy())
    assert (outputs == reference.run(program, images.numpy(), method="dense")).all()
    with torch.no_grad():
        simulated = network(images).numpy()
    np.testing.assert_allclose(program.logits(outputs), simulated, rtol=1e-5, atol=1e-5 * np.abs(simulated).max())


@pytest.mark.parametrize("name", networks.FOREIGN)
def test_networks_not_written_for_horner(name):
    model, images = networks.foreign(name), networks.images(8)
    got = float_outputs(model, images)
    if name == "bottleneck":  # ends in log_softmax; programs give logits
        got = torch.log_softmax(torch.from_numpy(got), 1).numpy()
    assert_same(got, own_outputs(model, images))


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("name", ["lenet5", "lenet5-caffe", "resnet20", "alexnet"])
def test_built_in_networks(name, batch_norm):
    shape = (1, 28, 28) if name.startswith("lenet") else (3, 32, 32)
    model = networks.trained_like_(models.build(name, batch_norm=batch_norm, shape=shape))
    images = networks.images(2, shape)
    assert_same(float_outputs(model, images), own_outputs(model, images))


@pytest.mark.parametrize("gamma", [0.0, -0.7, 1e-9])
@pytest.mark.parametrize("plan", ["dense", "out=linear/4", "ranked=linear/3bit", "ranked=linear/3bit per_filter"])
def test_batch_norms_are_folded_exactly_whatever_their_gains(gamma, plan):
    model = networks.trained_like_(nn.Sequential(nn.Conv2d(2, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()))
    model[1].weight.data[2:5] = gamma
    approximate_(model, plan)
    images = networks.images(4, (2, 6, 6))
    assert_same(float_outputs(model, images), own_outputs(model, images))


@pytest.mark.parametrize(
    "plan", ["dense", "in=linear/4 scale=linear/4", "scale=constant", "ranked=linear/6bit per_filter"]
)
def test_filters_of_their_own_take_what_the_scales_cannot_hold(plan):
    """One dead and one weak channel cost the others nothing in the integer program."""
    model = networks.trained_like_(nn.Sequential(nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8)))
    images = networks.images(32, (8, 8, 8))
    approximate_(model, plan)

    def error():
        wanted = own_outputs(model, images)
        program = to_program(model, images)
        return np.abs(program.logits(reference.run(program, images.numpy())) - wanted).mean() / wanted.std()

    before = error()
    model[1].weight.data[3], model[1].weight.data[5] = 0.0, 1e-3
    assert error() < 1.5 * before < 0.05


def test_shared_coefficients_with_a_dead_channel_keep_the_others_biases():
    model = networks.trained_like_(nn.Sequential(nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8)))
    model[1].weight.data[3] = 0.0
    approximate_(model, "out=linear/4")
    images = networks.images(32, (8, 8, 8))
    wanted = own_outputs(model, images)
    program = to_program(model, images)
    assert np.abs(program.logits(reference.run(program, images.numpy())) - wanted).mean() < 0.05 * wanted.std()


def test_relu_behind_max_pooling_and_flattening_costs_no_layer():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.ReLU6(), nn.ReLU(),
        nn.Linear(4, 3),
    )  # fmt: skip
    images = networks.images(4, (1, 8, 8))
    network = lower(model, capture(model, images))
    assert [type(stage) for stage in network.layers()] == [ConvStage, PoolStage, ConvStage, ConvStage]
    assert [(stage.grid.low, stage.grid.high) for stage in network.layers() if stage.grid][1] == (0.0, 6.0)
    assert_same(float_outputs(model, images), own_outputs(model, images))


def test_a_clamp_is_not_taken_into_a_layer_that_others_read_unclamped():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x):
            y = self.conv(x)
            return torch.relu(y) + y

    images = networks.images(4, (1, 6, 6))
    assert kinds(Both(), images) == ["ConvStage", "AddStage", "AddStage"]
    model = Both()
    assert_same(float_outputs(model, images), own_outputs(model, images))


def test_a_flattened_map_read_by_a_sum_and_by_a_linear_layer():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)
            self.fc1, self.fc2 = nn.Linear(32, 5), nn.Linear(32, 5)

        def forward(self, x):
            a, b = self.a(x).flatten(1), self.b(x).flatten(1)
            return self.fc1(a + b) + self.fc2(a)

    model, images = Both(), networks.images(4, (1, 6, 6))
    assert_same(float_outputs(model, images), own_outputs(model, images))


@pytest.mark.parametrize("plan", ["1: in=linear/4", "1: in=linear/4 row=linear col=quadratic", "1: ranked=linear/4bit"])
def test_linear_layers_read_a_map_with_and_without_the_plan_knowing_it(plan):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 5))
    images = networks.images(4, (3, 6, 6))
    approximate_(model, plan, example=images)
    assert_same(float_outputs(model, images), own_outputs(model, images))
    flattened = any(isinstance(s, FlattenStage) for s in lower(model, capture(model, images)).layers())
    assert flattened == (plan == "1: in=linear/4")


def test_a_plan_with_the_wrong_map_is_refused_by_name():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 5))
    approximate_(model, "2: row=linear map=8x2")
    with pytest.raises(ModelError, match=r"^2: the plan views the 64 inputs as \(4, 8, 2\), .* write map=4x4"):
        lower(model, capture(model, torch.zeros(1, 3, 6, 6)))


def test_a_linear_layer_on_a_map_is_refused():
    with pytest.raises(ModelError, match="0: a linear layer on a map"):
        capture(nn.Sequential(nn.Linear(6, 4)), torch.zeros(1, 3, 6, 6))


def test_float_bits_are_for_float_programs():
    model, images = nn.Sequential(nn.Conv2d(3, 4, 3)), networks.images(2)
    with pytest.raises(ModelError, match="0: bits=32 is float"):
        to_program(model, images, plan="bits=32")
    assert not to_program(model, images, plan="bits=32", integer=False).integer


def test_lowering_copies_what_it_trains():
    model, images = networks.foreign("bottleneck"), networks.images(4)
    approximate_(model, networks.MIXED["bottleneck"], example=images)
    before = {name: value.clone() for name, value in networks.tensors(model).items()}
    network = lower(model, capture(model, images)).to(torch.float64)
    for parameter in network.parameters():
        parameter.data.fill_(1.0)
    for name, value in networks.tensors(model).items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])


def test_biases_and_scales_follow_their_own_plan():
    model = networks.trained_like_(nn.Sequential(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8)))
    plans = {"0": LayerPlan(bias=Plan.parse("bias=linear/4").layer("0").bias, bias_bits=6, scale_bits=5)}
    stage = lower(model, capture(model, torch.zeros(1, 2, 5, 5)), plans).layers()[0]
    assert isinstance(stage, ConvStage)
    assert stage.bias.real().numel() == 4
    assert (stage.bias.bits, stage.scale.bits) == (6, 5)
    assert stage.scale.real().numel() == 8


def test_standalone_batch_norms_become_depthwise_layers():
    model = networks.trained_like_(nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(3), nn.ReLU()))
    model[1].weight.data[1] = 0.0
    images = networks.images(4, (3, 6, 6))
    stages = lower(model, capture(model, images)).layers()
    assert [type(stage) for stage in stages] == [PoolStage, ConvStage]
    assert stages[1].groups == 3
    assert_same(float_outputs(model, images), own_outputs(model, images))


def test_clamps_alone_are_sums_of_one():
    model = nn.Sequential(nn.ReLU6(), nn.AvgPool2d(2), nn.Hardtanh(0.1, 0.2))
    images = networks.images(4, (3, 6, 6))
    assert [type(stage) for stage in lower(model, capture(model, images)).layers()] == [AddStage, PoolStage, AddStage]
    assert_same(float_outputs(model, images), own_outputs(model, images))
