import copy

import networks
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

from horner import models
from horner.approximation import approximate_
from horner.errors import ModelError
from horner.frontend.capture import capture
from horner.frontend.convert import to_program
from horner.frontend.graph import Addition, Convolution

IMAGE = torch.zeros(1, 3, 16, 16)


class Of(nn.Module):
    """A network written as a function of two convolutions and images."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.written = forward

    def forward(self, x):
        return self.written(self, x)


def test_nodes_name_modules_inputs_and_shapes():
    graph = capture(networks.foreign("bottleneck"), IMAGE)
    assert graph.input == (3, 16, 16)
    assert graph.head == "log_softmax"
    first = graph.nodes[0]
    assert (first.path, first.inputs, first.shape) == ("conv1", (0,), (8, 16, 16))
    addition = next(node for node in graph.nodes if isinstance(node.operation, Addition))
    assert [graph.nodes[i - 1].path for i in addition.inputs] == ["layer1.0.bn3", "layer1.0.downsample.1"]
    assert graph.shape(0) == (3, 16, 16)
    assert graph.readers(0) == (0,)


@pytest.mark.parametrize("name", models.names())
def test_every_built_in_network_is_captured(name):
    shape = (1, 28, 28) if name.startswith("lenet") else (3, 32, 32)
    graph = capture(models.build(name, shape=shape), torch.zeros(shape))
    assert graph.nodes[-1].shape == (10, 1, 1)


@pytest.mark.parametrize("plan", [None, "mixed"])
@pytest.mark.parametrize("name", networks.FOREIGN)
def test_the_model_is_left_exactly_as_it_was(name, plan):
    model, images = networks.foreign(name), networks.images(4)
    if plan:
        approximate_(model, networks.MIXED[name], example=images)
    model.train()
    next(iter(model.children())).eval()
    next(model.parameters()).requires_grad_(False)
    before = {key: value.clone() for key, value in networks.tensors(model).items()}
    state = [
        (key, type(module), module.training, [p.requires_grad for p in module.parameters(recurse=False)])
        for key, module in model.named_modules()
    ]
    to_program(model, images)
    assert state == [
        (key, type(module), module.training, [p.requires_grad for p in module.parameters(recurse=False)])
        for key, module in model.named_modules()
    ]
    after = networks.tensors(model)
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    torch.manual_seed(0)
    model(images)  # still runs, parametrizations and all


def test_parametrizations_of_the_users_own_are_baked_in_and_stay():
    model = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.ReLU())
    images = networks.images(2)
    with torch.no_grad():
        wanted = model(images)
    to_program(model, images)
    assert nn.utils.parametrize.is_parametrized(model[0])
    assert torch.equal(model(images), wanted)
    assert model[0].parametrizations.weight.original0.requires_grad


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_weights_that_hooks_compute_are_refused():
    model = nn.Sequential(weight_norm(nn.Conv2d(3, 4, 3)))
    model(IMAGE)
    with pytest.raises(ModelError, match="weight"):
        capture(model, IMAGE)


def test_training_mode_makes_no_difference():
    model = networks.foreign("densenet")
    graph = capture(model, IMAGE)
    assert capture(model.train(), IMAGE) == graph


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_models_of_other_precisions_are_captured_in_float32(dtype):
    model = networks.foreign("mobilenet").to(dtype)
    graph = capture(model, IMAGE)
    assert len(graph.nodes) > 10
    assert next(model.parameters()).dtype == dtype


def test_a_module_used_twice_is_two_nodes_with_one_path():
    nodes = capture(Of(lambda self, x: self.a(torch.relu(self.a(x)))), IMAGE).nodes
    assert [node.path for node in nodes if isinstance(node.operation, Convolution)] == ["a", "a"]


def test_two_modules_that_share_a_weight_keep_their_own_biases():
    model = Of(lambda self, x: self.a(x) + self.b(x))
    model.b.weight = model.a.weight
    nodes = capture(model, IMAGE).nodes
    assert [node.path for node in nodes if isinstance(node.operation, Convolution)] == ["a", "b"]


def test_what_the_output_does_not_need_is_left_out():
    def forward(self, x):
        torch.sigmoid(self.b(x))
        y = self.a(x)
        self.b(y)
        return y

    assert [node.path for node in capture(Of(forward), IMAGE).nodes] == ["a"]


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, x: (self.a(x), self.b(x)), "returns a tuple; make it return one tensor"),
        (lambda self, x: {"logits": self.a(x)}, "returns a dict"),
        (lambda self, x: x, "output is not computed from its input"),
        (lambda self, x: self.a(x) if x.sum() > 0 else self.b(x), "forward decides by the values of a tensor"),
        (lambda self, x: self.a(x[:, :2]), "does not run on an image of shape .3, 16, 16."),
        (lambda self, x: self.no_such_layer(x), "does not run on an image"),
        (lambda self, x: self.a(x) if torch.rand(()).item() < 2 else x, "decides by the values|not supported|capture"),
    ],
)
def test_what_cannot_be_captured_is_said_in_one_line(forward, message, capfd):
    with pytest.raises(ModelError, match=message) as caught:
        capture(Of(forward), IMAGE)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_keeps_state_between_calls_is_found_out():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.calls = nn.Conv2d(3, 4, 3), 0

        def forward(self, x):
            self.calls += 1
            return self.conv(x) if self.calls > 1 else torch.relu(self.conv(x))

    with pytest.raises(ModelError, match="does not compute what the model does"):
        capture(Counting(), torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize("images", [torch.zeros(3), torch.zeros(0, 3, 16, 16), torch.zeros(1, 1, 3, 16, 16)])
def test_images_of_the_wrong_kind_are_refused(images):
    with pytest.raises(ModelError, match="capturing takes"):
        capture(networks.foreign("mobilenet"), images)


def test_images_of_the_wrong_shape_are_refused():
    with pytest.raises(ModelError, match=r"does not run on an image of shape \(1, 16, 16\)"):
        capture(networks.foreign("mobilenet"), torch.zeros(1, 1, 16, 16))


def test_a_model_is_captured_after_copying_an_approximated_one():
    model, images = networks.foreign("bottleneck"), networks.images(2)
    approximate_(model, networks.MIXED["bottleneck"], example=images)
    twin = copy.deepcopy(model)
    capture(twin, images)
    assert torch.equal(model(images), twin(images))
