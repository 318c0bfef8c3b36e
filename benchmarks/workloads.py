"""What is timed: layers and networks, as torch models for the peers and as programs for Horner, random weights in all.

Time does not depend on what the weights are, only on how wide they are. Networks at the plans of papers and of the
demonstration are fitted and quantised as every user's are. Where a plan only stands for its ratio, integer
coefficients are drawn so that the weights they expand to fit int8, as the dense network's do.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

import horner
from horner.basis import Axis
from horner.demonstration import PRESET as DEMONSTRATION
from horner.plan import Plan
from horner.program.layers import Conv
from horner.program.program import Program
from horner.program.weights import Positional, constant, terms

Arithmetic = Literal["int8", "float32"]
Shape = tuple[int, int, int]

SEED = 0
DENSE = "dense"
LARGEST = 127
"""Magnitude that drawn weights may expand to."""

SPREAD = 60.0
"""Standard deviation of drawn layers' outputs, in steps of int8: neither all zero nor all saturated."""

LAYER_PLANS = {
    "2x": "out=linear/4",
    "afsc4-afmc4": "out=linear/4 in=linear/4",
    "out8": "out=linear/8",
    "16x": "out=linear/8 in=linear/8",
}
"""Plans of single layers; afsc4-afmc4 and out8 both store a quarter of the values."""

NETWORK_PLANS = {
    "2x": "out=linear/4; fc1: dense",
    "4x": "out=linear/4 in=linear/4; fc1: dense",
    "16x": "out=linear/8 in=linear/8; fc1: dense",
}
LENET5_PLANS = {
    "2x": "out=linear/4; fc3: dense",
    "4x": "out=linear/4 in=linear/4; fc3: dense",
    "16x": "out=linear/8 in=linear/8; fc3: dense",
}

VGG16_SHAPES = (
    (3, 64, 32),
    (64, 64, 32),
    (64, 128, 16),
    (128, 128, 16),
    (128, 256, 8),
    (256, 256, 8),
    (256, 512, 4),
    (512, 512, 4),
    (512, 512, 2),
)
"""Channels read, channels made, side of the map."""

# the coefficient ratios of Tolba et al. (2022), to within two percent; which axes they approximate is our choice
PAPER_LENET5 = """
out=linear in=linear row=linear col=linear
fc1: out=linear in=linear row=linear col=linear map=5x5
fc2: out=linear in=linear
fc3: out=quadratic in=linear
"""
PAPER_RESNET20 = """
out=linear/8 in=linear/8
block[89].*: out=linear/8 in=linear/8 col=linear
block7.conv2: out=linear/8 in=linear/8 col=linear
conv1: dense
fc1: dense
"""
PAPER_VGG16 = """
out=linear/32 in=linear/32 row=linear col=linear
conv1_1: row=linear col=linear
conv5_*: out=linear/64 in=linear/32 row=linear col=linear
fc1: in=linear/16
"""


@dataclass(frozen=True, eq=False)
class Workload:
    """A layer or a network, dense and under plans.

    Parameters
    ----------
    name
        What ``--only`` takes.
    network
        A built-in network's name; empty for a layer.
    shape
        Of one image or activation: channels, rows, columns.
    plans
        By name. Those of `fitted` keep the coefficients and bits of a fit; those of the others are drawn.
    layer
        (out, kernel, stride, padding) of a single convolution; kernel 0 is a fully connected layer.
    """

    name: str
    shape: Shape
    plans: dict[str, str]
    fitted: frozenset[str] = frozenset()
    network: str = ""
    layer: tuple[int, int, int, int] = (0, 0, 1, 0)

    @property
    def kind(self) -> Literal["layer", "network"]:
        """Whether it is one layer or a whole network."""
        return "network" if self.network else "layer"

    def model(self, batch_norm: bool = False) -> nn.Module:
        """Return the dense network with random weights; without batch norms its peers run it as if they were folded."""
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            if self.network:
                model = horner.models.build(self.network, shape=self.shape, batch_norm=batch_norm)
            else:
                model = _layer(self.shape, *self.layer, batch_norm)
            _randomise(model)
        return model.eval().requires_grad_(False)

    def images(self, number: int = 1) -> np.ndarray:
        """Return random pixels of zero mean or, for a layer inside a network, what a ReLU lets pass; float32."""
        images = np.random.default_rng(SEED).standard_normal((number, *self.shape)).astype(np.float32)
        return images if self.shape[0] in (1, 3) else np.maximum(images, 0)

    def program(self, plan: str, arithmetic: Arithmetic) -> Program:
        """Return the program under the plan of that name, or dense."""
        torch_model, integer = self.model(batch_norm=True), arithmetic == "int8"
        parsed = Plan.parse(self.plans[plan]) if plan != DENSE else None
        if parsed is not None:
            with torch.enable_grad():
                horner.approximate_(torch_model, parsed)
        program = horner.to_program(torch_model, self.images(16), integer=integer)
        return drawn(program) if integer and parsed is not None and plan not in self.fitted else program


def _layer(shape: Shape, out: int, kernel: int, stride: int, padding: int, batch_norm: bool) -> nn.Module:
    if not kernel:
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(shape), out),
            nn.BatchNorm1d(out) if batch_norm else nn.Identity(),
            nn.ReLU(),
        )
    conv = nn.Conv2d(shape[0], out, kernel, stride, padding)
    return nn.Sequential(conv, nn.BatchNorm2d(out) if batch_norm else nn.Identity(), nn.ReLU())


def _randomise(model: nn.Module) -> None:
    """Weights as He et al. draw them, and affines and biases that no compiler can fold away."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)


def catalogue() -> dict[str, Workload]:
    """Return everything that is timed, by name: layers, then networks."""
    image, digit = (3, 32, 32), (1, 28, 28)
    layers = [
        _conv("conv-256-384-13", 256, 384, 13),
        *(_conv(f"vgg16-{i}-{o}-{n}", i, o, n) for i, o, n in VGG16_SHAPES),
        *(_linear(f"vgg16-fc-512-{out}", 512, out) for out in (512, 10)),
        _conv("lenet5-conv1", 1, 6, 28, kernel=5, padding=2),
        _conv("lenet5-conv2", 6, 16, 14, kernel=5, padding=0),
        *(_linear(f"lenet5-fc{n}", i, o) for n, i, o in ((1, 400, 120), (2, 120, 84), (3, 84, 10))),
        _conv("resnet20-3-16-32", 3, 16, 32),
        *(_conv(f"resnet20-{c}-{c}-{n}", c, c, n) for c, n in ((16, 32), (32, 16), (64, 8))),
        *(_conv(f"resnet20-{c}-{2 * c}-{n}-stride2", c, 2 * c, n, stride=2) for c, n in ((16, 32), (32, 16))),
        *(_conv(f"resnet20-skip-{c}-{2 * c}-{n}", c, 2 * c, n, 1, 2, 0) for c, n in ((16, 32), (32, 16))),
        _linear("resnet20-fc-64-10", 64, 10),
    ]
    fitted = frozenset({"demo", "paper"})
    networks = [
        Workload(
            "lenet5", digit, {"demo": DEMONSTRATION.plan, **LENET5_PLANS, "paper": PAPER_LENET5}, fitted, "lenet5"
        ),
        Workload("resnet20", image, {**NETWORK_PLANS, "paper": PAPER_RESNET20}, fitted, "resnet20"),
        Workload("vgg16", image, {**NETWORK_PLANS, "paper": PAPER_VGG16}, fitted, "vgg16"),
    ]
    return {workload.name: workload for workload in (*layers, *networks)}


def _conv(name: str, i: int, out: int, size: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> Workload:
    return Workload(name, (i, size, size), LAYER_PLANS, layer=(out, kernel, stride, padding))


def _linear(name: str, i: int, out: int) -> Workload:
    return Workload(name, (i, 1, 1), LAYER_PLANS, layer=(out, 0, 1, 0))


def drawn(program: Program) -> Program:
    """Return an integer program with other coefficients: random ones whose expanded weights fit int8."""
    generator = np.random.default_rng(SEED)
    layers = tuple(_drawn(layer, generator) if isinstance(layer, Conv) else layer for layer in program.layers)
    return dataclasses.replace(program, layers=layers)


def _drawn(conv: Conv, generator: np.random.Generator) -> Conv:
    weights, bias = conv.weights, conv.bias
    assert isinstance(weights, Positional)
    assert bias is not None
    core = generator.integers(1, _limits(weights.axes) + 1) * generator.choice((-1, 1), weights.core.shape)
    chosen = Positional(weights.axes, core, 8)
    filters = chosen.expand().reshape(weights.shape[0], -1)
    size = SPREAD * math.sqrt(float((filters**2).sum(1).mean()))  # of accumulators, if inputs spread as outputs do
    shift = max(round(math.log2(size / SPREAD)) + 6, 0)
    output = dataclasses.replace(
        conv.output, multiplier=constant(round(2**shift * SPREAD / size), len(filters), 8), shift=shift
    )
    offsets = Positional(bias.axes, generator.integers(-64, 64, bias.core.shape), 8, _shifts(bias, size))
    return dataclasses.replace(conv, weights=chosen, bias=offsets, output=output)


def _limits(axes: tuple[Axis, ...]) -> np.ndarray:
    """Return how large every coefficient may be for the weights to fit int8, the families sharing the range."""
    # the largest value of each order's polynomial, on the first segment: none is longer
    reach = functools.reduce(np.multiply.outer, [np.abs(axis.stored).max(0)[: terms(axis)] for axis in axes])
    tight = reach * reach.size > LARGEST
    share = (LARGEST - reach[tight].sum()) / max((~tight).sum(), 1)
    limits = np.where(tight, 1, np.maximum(share // reach, 1)).astype(np.int64)
    return limits[np.ix_(*(axis.orders for axis in axes))]


def _shifts(bias: Positional, size: float) -> np.ndarray:
    """Left shifts that make values up to 64 about as large as accumulators of that size."""
    return np.full(bias.shifts.shape, max(round(math.log2(size / 64)), 0))
