"""Classifiers that nobody wrote for Horner, and random ones; shared by the tests of everything that takes a model."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, filter each channel on its own, narrow; a skip where nothing changes shape."""

    def __init__(self, before: int, after: int, stride: int, widen: int) -> None:
        super().__init__()
        inner = before * widen
        self.skip = stride == 1 and before == after
        self.conv = nn.Sequential(
            nn.Conv2d(before, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(inplace=True),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(inplace=True),
            nn.Conv2d(inner, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.skip else self.conv(x)


class MobileNet(nn.Module):
    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(inplace=True),
            InvertedResidual(8, 12, 1, 2),
            InvertedResidual(12, 12, 1, 2),
            InvertedResidual(12, 16, 2, 3),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class DenseLayer(nn.Module):
    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, 2 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * growth)
        self.conv2 = nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)

    def forward(self, parts: list[torch.Tensor]) -> torch.Tensor:
        y = self.conv1(F.relu(self.norm1(torch.cat(parts, 1))))
        return self.conv2(F.relu(self.norm2(y), inplace=True))


class DenseNet(nn.Module):
    """Concatenations, batch norms before ReLU, a transition that averages, batch norm at the end."""

    def __init__(self, channels: int = 3, classes: int = 10, growth: int = 4) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, 8, 3, padding=1, bias=False)
        self.layers = nn.ModuleList([DenseLayer(8 + i * growth, growth) for i in range(3)])
        width = 8 + 3 * growth
        self.transition = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 10, 1, bias=False), nn.AvgPool2d(2)
        )
        self.norm = nn.BatchNorm2d(10)
        self.classifier = nn.Linear(10, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [self.conv0(x)]
        for layer in self.layers:
            parts.append(layer(parts))
        x = F.relu(self.norm(self.transition(torch.cat(parts, 1))))
        return self.classifier(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


class Bottleneck(nn.Module):
    """ResNet-50's block with a strided projection."""

    def __init__(self, before: int, inner: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, after, 1, bias=False), nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class BottleneckNet(nn.Module):
    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Bottleneck(8, 6, 16, 1), Bottleneck(16, 6, 16, 1))
        self.layer2 = nn.Sequential(Bottleneck(16, 8, 24, 2), Bottleneck(24, 8, 24, 1))
        self.fc = nn.Linear(24, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        return F.log_softmax(self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)), dim=1)


FOREIGN = {"mobilenet": MobileNet, "densenet": DenseNet, "bottleneck": BottleneckNet}
"""Networks that nobody wrote for Horner, by name."""

MIXED = {
    "mobilenet": "out=linear/4 in=linear/4; features.3.conv.3: row=linear col=quadratic; features.4.*: in=linear/4; "
    "features.5.conv.0: ranked=linear/4bit zero; classifier.1: in=linear/4",
    "densenet": "in=linear/4; conv0: row=quadratic col=linear; layers.1.*: out=linear/4 bias=linear/4; "
    "layers.2.conv2: ranked=quadratic/4bit per_filter; classifier: dense",
    "bottleneck": "out=linear/4 in=linear/4; layer1.0.conv2: row=linear col=linear; layer2.*: in=quadratic/6; "
    "layer2.0.downsample.0: ranked=linear/3bit; fc: in=linear/8",
}
"""A plan for each that approximates in every way there is."""


def trained_like_(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give a model the weights, biases and statistics of one that has been trained: no two channels alike."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan = module.weight[0].numel()
            module.weight.data = torch.randn(module.weight.shape, generator=generator) * (2 / fan) ** 0.5
            if module.bias is not None:
                module.bias.data = uniform(module.bias, -0.3, 0.3)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.data = uniform(module.running_mean, -0.5, 0.5)
            module.running_var.data = uniform(module.running_var, 0.3, 2.0)
            if module.affine:
                module.weight.data = uniform(module.weight, 0.3, 1.3)
                module.bias.data = uniform(module.bias, -0.4, 0.6)
    return model.eval()


def foreign(name: str, seed: int = 0) -> nn.Module:
    """One of `FOREIGN` for 3x16x16 images, as if trained."""
    return trained_like_(FOREIGN[name](), seed)


def images(number: int = 16, shape: tuple[int, int, int] = (3, 16, 16), seed: int = 0) -> torch.Tensor:
    """Random smooth images ``(number, *shape)`` with the statistics of normalised ones."""
    generator = torch.Generator().manual_seed(seed)
    channels, rows, columns = shape
    coarse = torch.randn(number, channels, -(-rows // 4), -(-columns // 4), generator=generator)
    smooth = F.interpolate(coarse, (rows, columns), mode="bilinear", align_corners=False)
    return smooth + 0.3 * torch.randn(number, *shape, generator=generator)


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer of a model, saved in its state or not."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


class Sum(nn.Module):
    """The sum of what several modules make of the same input; none is the input itself."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum((part(x) for part in self.parts[1:]), self.parts[0](x))


class Beside(nn.Module):
    """The channels of what several modules make of the same input."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([part(x) for part in self.parts], 1)


@st.composite
def random_networks(draw: st.DrawFn, blocks: int = 4) -> nn.Module:
    """A small network of everything that Horner knows, for 2x9x8 images, with the statistics of a trained one.

    Some of its batch norms switch channels off or negate them.
    """
    channels, layers = 2, []
    for _ in range(draw(st.integers(1, blocks))):
        block, channels = draw(_blocks(channels))
        layers.append(block)
    body = nn.Sequential(*layers)
    _, _, rows, columns = body.eval()(torch.zeros(2, 2, 9, 8)).shape
    if draw(st.booleans()):
        head: list[nn.Module] = [nn.AdaptiveAvgPool2d(draw(st.sampled_from([1, (2, 1)]))), nn.Flatten()]
        features = channels * (2 if head[0].output_size == (2, 1) else 1)
    else:
        head, features = [nn.Flatten()], channels * rows * columns
    if draw(st.booleans()):
        head += [nn.ReLU(), nn.Dropout(), nn.Linear(features, 7), nn.BatchNorm1d(7), nn.ReLU6()]
        features = 7
    model = nn.Sequential(body, *head, nn.Linear(features, 5, bias=draw(st.booleans())))
    seed = draw(st.integers(0, 2**16))
    trained_like_(model, seed)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine and draw(st.booleans()):
            module.weight.data *= torch.randint(-1, 2, module.weight.shape, generator=generator)
    return model


@st.composite
def _blocks(draw: st.DrawFn, channels: int, deep: bool = True) -> tuple[nn.Module, int]:
    kinds = ["conv", "conv", "conv", "max", "average", "norm"] + ["sum", "beside"] * deep
    kind = draw(st.sampled_from(kinds))
    if kind == "conv":
        return draw(_convolutions(channels))
    if kind == "max":
        return nn.MaxPool2d(3, draw(st.sampled_from([1, 2])), 1, ceil_mode=draw(st.booleans())), channels
    if kind == "average":
        pool = nn.AvgPool2d(2, draw(st.sampled_from([1, 2])), 1, draw(st.booleans()), draw(st.booleans()))
        return pool, channels
    if kind == "norm":
        return nn.Sequential(nn.BatchNorm2d(channels, affine=draw(st.booleans())), nn.ReLU()), channels
    parts = []
    widths = []
    for _ in range(2):
        part, width = draw(_convolutions(channels, same=True, out=channels if kind == "sum" else None))
        parts.append(part)
        widths.append(width)
    if kind == "sum":
        if draw(st.booleans()):
            parts[0] = nn.Identity()
        return nn.Sequential(Sum(*parts), nn.ReLU() if draw(st.booleans()) else nn.Identity()), channels
    return Beside(*parts), sum(widths)


@st.composite
def _convolutions(draw: st.DrawFn, channels: int, same: bool = False, out: int | None = None) -> tuple[nn.Module, int]:
    groups = draw(st.sampled_from([1, 1, 1, channels]))
    out = groups * draw(st.integers(1, max(1, 6 // groups))) if out is None else out
    kernel, dilation = draw(st.sampled_from([(1, 1), (3, 1), (3, 2)]))
    padding = dilation * (kernel // 2)
    stride = 1 if same else draw(st.sampled_from([1, 1, 2]))
    layers: list[nn.Module] = [
        nn.Conv2d(channels, out, kernel, stride, padding, dilation, groups, bias=draw(st.booleans()))
    ]
    if draw(st.booleans()):
        layers.append(nn.BatchNorm2d(out))
    if draw(st.booleans()):
        layers.append(nn.MaxPool2d(3, 1, 1))
    layers.append(draw(st.sampled_from([nn.Identity(), nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-0.5, 0.7)])))
    return nn.Sequential(*layers), out
