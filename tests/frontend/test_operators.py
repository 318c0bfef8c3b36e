"""Every operation in every form that PyTorch spells it, and every one that is refused, with what the message says."""

from __future__ import annotations

import math
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from horner.errors import ModelError
from horner.frontend.capture import capture
from horner.frontend.graph import (
    AdaptivePooling,
    Addition,
    AveragePooling,
    BatchNorm,
    Clamp,
    Concatenation,
    Convolution,
    Flattening,
    Linear,
    MaxPooling,
)

RELU = Clamp(0.0, math.inf)


class Written(nn.Module):
    """A network written as a function of a convolution, another one, a linear layer and images."""

    def __init__(self, forward) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.linear = nn.Linear(4 * 6 * 6, 5)
        self.small = nn.Linear(4, 5)
        self.free = nn.Parameter(torch.ones(4, 6, 6))
        self.written = forward

    def forward(self, x: torch.Tensor):
        return self.written(self, x)


def read(model) -> list:
    model = model if isinstance(model, nn.Module) else Written(model)
    return [node.operation for node in capture(model, torch.zeros(1, 3, 8, 8)).nodes]


def after_conv(function) -> list:
    return read(lambda self, x: function(self.conv(x)))[1:]


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        (nn.Conv2d(3, 4, 3), Convolution((1, 1), (0, 0), (1, 1), 1)),
        (nn.Conv2d(3, 4, (3, 5), (2, 1), (1, 2), bias=False), Convolution((2, 1), (1, 2), (1, 1), 1)),
        (nn.Conv2d(3, 6, 3, dilation=2, groups=3), Convolution((1, 1), (0, 0), (2, 2), 3)),
        (nn.Conv2d(3, 4, 3, padding="same"), Convolution((1, 1), (1, 1), (1, 1), 1)),
        (nn.Conv2d(3, 4, (5, 3), padding="same", dilation=(1, 2)), Convolution((1, 1), (2, 2), (1, 2), 1)),
        (nn.Conv2d(3, 4, 2, padding="valid"), Convolution((1, 1), (0, 0), (1, 1), 1)),
        (nn.BatchNorm2d(3), BatchNorm(1e-5)),
        (nn.BatchNorm2d(3, eps=1e-3, affine=False), BatchNorm(1e-3)),
        (nn.ReLU(), RELU),
        (nn.ReLU6(), Clamp(0.0, 6.0)),
        (nn.Hardtanh(-0.5, 2), Clamp(-0.5, 2.0)),
        (nn.Threshold(0, 0), RELU),
        (nn.MaxPool2d(2), MaxPooling((2, 2), (2, 2), (0, 0), (1, 1), False)),
        (nn.MaxPool2d(3, 2, 1, ceil_mode=True), MaxPooling((3, 3), (2, 2), (1, 1), (1, 1), True)),
        (nn.MaxPool2d((3, 2), 1, dilation=2), MaxPooling((3, 2), (1, 1), (0, 0), (2, 2), False)),
        (nn.AdaptiveMaxPool2d((2, 1)), MaxPooling((4, 8), (4, 8), (0, 0), (1, 1), False)),
        (nn.AvgPool2d(2), AveragePooling((2, 2), (2, 2), (0, 0), False, True)),
        (nn.AvgPool2d(3, 2, 1, True, False), AveragePooling((3, 3), (2, 2), (1, 1), True, False)),
        (nn.AdaptiveAvgPool2d(1), AdaptivePooling((1, 1))),
        (nn.AdaptiveAvgPool2d((None, 3)), AdaptivePooling((8, 3))),
        (nn.Flatten(), Flattening()),
    ],
    ids=str,
)
def test_modules(module, wanted):
    assert read(nn.Sequential(module)) == [wanted]


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    ("make", "wanted"),
    [(nn.ReLU, RELU), (nn.ReLU6, Clamp(0.0, 6.0)), (nn.Hardtanh, Clamp(-1.0, 1.0))],
)
def test_activations_in_place(make, wanted, inplace):
    assert read(nn.Sequential(nn.Conv2d(3, 4, 3), make(inplace=inplace), nn.Dropout(inplace=inplace)))[1:] == [wanted]


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (F.relu, [RELU]),
        (F.relu_, [RELU]),
        (torch.relu, [RELU]),
        (lambda y: y.relu_(), [RELU]),
        (F.relu6, [Clamp(0.0, 6.0)]),
        (F.hardtanh, [Clamp(-1.0, 1.0)]),
        (lambda y: torch.clamp(y, 0, 3), [Clamp(0.0, 3.0)]),
        (lambda y: y.clamp_(max=3), [Clamp(-math.inf, 3.0)]),
        (lambda y: torch.clip(y, min=0), [RELU]),
        (lambda y: y.clamp_min(0), [RELU]),
        (lambda y: y.clamp_max(2), [Clamp(-math.inf, 2.0)]),
        (lambda y: F.max_pool2d(y, 2), [MaxPooling((2, 2), (2, 2), (0, 0), (1, 1), False)]),
        (lambda y: F.max_pool2d(y, 2, return_indices=True)[0], [MaxPooling((2, 2), (2, 2), (0, 0), (1, 1), False)]),
        (lambda y: y.amax((2, 3)), [MaxPooling((6, 6), (6, 6), (0, 0), (1, 1), False)]),
        (lambda y: F.avg_pool2d(y, 3, 1), [AveragePooling((3, 3), (1, 1), (0, 0), False, True)]),
        (lambda y: F.adaptive_avg_pool2d(y, 1), [AdaptivePooling((1, 1))]),
        (lambda y: y.mean((2, 3)), [AdaptivePooling((1, 1))]),
        (lambda y: torch.mean(y, [-1, -2], keepdim=True), [AdaptivePooling((1, 1))]),
        (lambda y: y + y, [Addition()]),
        (lambda y: sum([y, y]), [Addition()]),
        (lambda y: torch.cat([y, y], 1), [Concatenation()]),
        (lambda y: torch.concat((y, y), dim=-3), [Concatenation()]),
        (lambda y: F.dropout2d(F.dropout(y, training=False), 0.5, False), []),
        (lambda y: y.contiguous(memory_format=torch.channels_last).float().detach().clone(), []),
        (lambda y: F.pad(y, (0, 0, 0, 0)), []),
        (lambda y: y.flatten(1), [Flattening()]),
        (lambda y: torch.flatten(y, 1), [Flattening()]),
        (lambda y: y.view(len(y), -1), [Flattening()]),
        (lambda y: y.reshape(y.shape[0], 144), [Flattening()]),
        (lambda y: y.view(-1, 144), [Flattening()]),
        (lambda y: y.flatten(1).unsqueeze(2).unsqueeze(3), [Flattening()]),
        (lambda y: y.mean((2, 3), keepdim=True).squeeze(-1).squeeze(-1), [AdaptivePooling((1, 1))]),
        (lambda y: y.mean((2, 3), keepdim=True).squeeze(), [AdaptivePooling((1, 1))]),
    ],
)
def test_functions_and_methods(function, wanted):
    operations = after_conv(function)
    assert [op for op in operations if not (isinstance(op, Flattening) and Flattening() not in wanted)] == wanted


def test_sums_in_place_and_across_branches():
    def forward(self, x):
        y = self.conv(x)
        y += self.other(x)
        return F.relu(y, inplace=True)

    assert read(forward)[2:] == [Addition(), RELU]


def test_linear_in_both_forms():
    assert after_conv(lambda y: y)[1:] == []
    assert read(lambda self, x: self.linear(self.conv(x).flatten(1)))[1:] == [Flattening(), Linear()]
    assert read(lambda self, x: F.linear(self.conv(x).flatten(1), self.linear.weight, self.linear.bias))[2:] == [
        Linear()
    ]


@pytest.mark.parametrize(
    ("function", "head"),
    [
        (lambda y: F.softmax(y, 1), "softmax"),
        (lambda y: torch.softmax(y, dim=-1), "softmax"),
        (lambda y: F.log_softmax(y, dim=1), "log_softmax"),
        (nn.LogSoftmax(-1), "log_softmax"),
        (lambda y: y, "logits"),
    ],
)
def test_heads(function, head):
    graph = capture(Written(lambda self, x: function(self.small(self.conv(x).mean((2, 3))))), torch.zeros(3, 8, 8))
    assert graph.head == head
    assert graph.nodes[-1].operation == Linear()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.SiLU(), "operation aten.silu.default is not supported; Horner knows convolution, linear"),
        (nn.LeakyReLU(), "operation aten.leaky_relu"),
        (nn.Threshold(0.5, 0), "operation aten.threshold"),
        (nn.GroupNorm(1, 3), "operation aten.group_norm"),
        (nn.InstanceNorm2d(3), "operation aten.instance_norm"),
        (nn.ConvTranspose2d(3, 4, 3), "operation aten.conv_transpose2d"),
        (nn.Upsample(scale_factor=2), "operation aten.upsample"),
        (nn.BatchNorm2d(3, track_running_stats=False), "batch norm without running statistics"),
        (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), r"padding on its own \(mode 'reflect'\)"),
        (nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), r"padding on its own \(mode 'circular'\)"),
        (nn.ZeroPad2d(1), "padding on its own"),
        (nn.Conv2d(3, 4, 2, padding="same"), "pads unevenly|padding on its own"),
        (nn.AvgPool2d(2, divisor_override=3), "divisor_override"),
        (nn.AdaptiveMaxPool2d(3), "does not divide"),
        (nn.Softmax(0), "softmax over dimension 0"),
        (nn.Softmax(3), "softmax over dimension 3"),
        (nn.Flatten(2), r"reshaping \(2, 3, 8, 8\) to \(2, 3, 64\)"),
    ],
    ids=str,
)
def test_refused_modules_are_named_with_their_path(module, message):
    model = nn.Sequential(OrderedDict(features=nn.Sequential(nn.Sequential(OrderedDict(block=module)))))
    with pytest.raises(ModelError, match=rf"^features\.0\.block: .*{message}"):
        read(model)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda self, x: self.conv(x) * self.other(x), "operation aten.mul.Tensor"),
        (lambda self, x: self.conv(x) - self.other(x), "operation aten.sub.Tensor"),
        (lambda self, x: self.conv((x - 0.5) / 0.2), "operation aten.sub.Tensor"),
        (lambda self, x: self.conv(x).permute(0, 2, 3, 1), "operation aten.permute"),
        (lambda self, x: self.conv(x[:, :, 1:]), "operation aten.slice"),
        (lambda self, x: torch.add(self.conv(x), self.other(x), alpha=2), "add with alpha"),
        (lambda self, x: self.conv(x) + 1, "only activations can be added, not a constant"),
        (lambda self, x: self.conv(x) + self.free, "only activations can be added"),
        (lambda self, x: torch.cat([self.conv(x), torch.zeros(2, 1, 6, 6)], 1), "only activations can be concatenated"),
        (lambda self, x: self.conv(x) + self.other(x).mean((2, 3), keepdim=True), "added by broadcasting"),
        (lambda self, x: torch.cat([self.conv(x), self.other(x)], 2), "concatenation along dimension 2"),
        (lambda self, x: self.conv(x).mean(1), "a mean over dimensions"),
        (lambda self, x: self.conv(x).amax(1), "a maximum over dimensions"),
        (lambda self, x: self.conv(x).clamp(3, 1), "a clamp from 3.0 to 1.0"),
        (lambda self, x: F.max_pool2d(self.conv(x), 2, return_indices=True)[1], "positions of the largest"),
        (lambda self, x: F.dropout(self.conv(x)), "dropout that is on in evaluation mode"),
        (lambda self, x: self.conv(x).to(torch.int32).float(), "becomes torch.int32"),
        (lambda self, x: F.relu(F.softmax(self.conv(x), 1)), "aten.relu.default after softmax"),
        (lambda self, x: F.conv2d(x, self.conv.weight * 2), "the weight of aten.conv2d.default is computed"),
        (
            lambda self, x: F.conv2d(x, self.conv.weight),
            "takes conv.weight, no bias, which are not those of one module",
        ),
        (lambda self, x: F.conv2d(x, self.conv.weight, self.other.bias), "takes conv.weight, other.bias"),
        (lambda self, x: self.conv(x).view(2, 2, 12, 6), "reshaping"),
        (lambda self, x: self.conv(x).mean((2, 3)).view(4, 2), "reshaping"),
    ],
)
def test_refused_expressions(function, message):
    with pytest.raises(ModelError, match=f"^the model's own forward: .*{message}"):
        read(function)


def test_swapping_channels_with_rows_is_no_identity():
    with pytest.raises(ModelError, match="reshaping"):
        after_conv(lambda y: F.max_pool2d(y, (6, 1)).view(2, 1, 4, 6))


def test_one_dimensional_and_three_dimensional_networks_are_refused():
    with pytest.raises(ModelError, match="reshaping"):
        read(nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 3)))
    with pytest.raises(ModelError, match=r"0: operation aten\.unflatten"):
        read(nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 4, 3)))


@pytest.mark.parametrize(
    "change",
    [
        lambda self, x: _changed_through_a_view(self.conv(x)),
        lambda self, x: _view_of_a_changed_value(self.conv(x)),
    ],
)
def test_changes_in_place_that_are_seen_under_another_name_are_refused(change):
    with pytest.raises(ModelError, match="changes in place a value that is read again under another name"):
        read(change)


def _changed_through_a_view(y: torch.Tensor) -> torch.Tensor:
    y.flatten(1).relu_()
    return y


def _view_of_a_changed_value(y: torch.Tensor) -> torch.Tensor:
    row = y.flatten(1)
    y.relu_()
    return row
