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
from horner.demonstration import PLAN as DEMONSTRATION
from horner.plan import LayerPlan, Plan
from horner.program.layers import Conv
from horner.program.program import Program
from horner.program.weights import FLOAT_BITS, Positional, constant

Arithmetic = Literal["int8", "float32"]
Shape = tuple[int, int, int]

SEED = 0
DENSE = "dense"
SPREAD = 60.0
"""Standard deviation of drawn layers' outputs, in steps of int8: neither all zero nor all saturated."""

LAYER_PLANS = {
    "2x": "out=linear/4",
    "AFSC4+AFMC4": "out=linear/4 in=linear/4",
    "out/8": "out=linear/8",
    "16x": "out=linear/8 in=linear/8",
}
"""Plans of single layers. AFSC4+AFMC4 and out/8 both store a quarter of the values."""

NETWORK_PLANS = {"2x": "out=linear/4", "4x": "out=linear/4 in=linear/4", "16x": "out=linear/8 in=linear/8"}
LAST_DENSE = "; fc1: dense"
PAPER_LENET5 = """
conv1: out=quadratic row=quadratic col=linear
conv2: out=linear/8 in=linear row=linear col=linear
fc1: out=linear in=linear row=linear col=linear map=5x5
fc2: out=linear in=linear
fc3: out=linear in=linear
"""
PAPER_RESNET20 = "out=linear/8 in=linear/8 row=linear col=linear; conv1: out=linear/4; fc1: out=linear/5 in=linear/4"
PAPER_VGG16 = "out=linear/64 in=linear/64 row=linear col=linear; conv1_1: row=linear col=linear; fc1: out=linear/5 in=linear/64"


@dataclass(frozen=True)
class Workload:
    """A layer or a network, dense and under plans.

    Parameters
    ----------
    name
        What ``--only`` takes.
    shape
        Of one image or activation: channels, rows, columns.
    plans
        By name. Those of `fitted` keep the coefficients and bits of a fit; those of the others are drawn.
    layer
        (out, kernel, stride, padding) of a single convolution; kernel 0 is a fully connected layer; None a network.
    """

    name: str
    shape: Shape
    plans: dict[str, str]
    fitted: frozenset[str] = frozenset()
    layer: tuple[int, int, int, int] | None = None

    @property
    def kind(self) -> Literal["layer", "network"]:
        """Whether it is one layer or a whole network."""
        return "network" if self.layer is None else "layer"

    def model(self, batch_norm: bool = False) -> nn.Module:
        """Return the dense network with random weights; without batch norms its peers run it as if they were folded."""
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            model = _layer(self.shape, *self.layer, batch_norm) if self.layer else _network(self.name, self.shape, batch_norm)
            _randomise(model)
        return model.eval().requires_grad_(False)

    def images(self, number: int = 1) -> np.ndarray:
        """Return random activations, float32."""
        return np.random.default_rng(SEED).standard_normal((number, *self.shape)).astype(np.float32)

    @functools.cache  # noqa: B019 -- workloads live as long as the process
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
            nn.Flatten(), nn.Linear(math.prod(shape), out), nn.BatchNorm1d(out) if batch_norm else nn.Identity(), nn.ReLU()
        )
    conv = nn.Conv2d(shape[0], out, kernel, stride, padding)
    return nn.Sequential(conv, nn.BatchNorm2d(out) if batch_norm else nn.Identity(), nn.ReLU())


def _network(name: str, shape: Shape, batch_norm: bool) -> nn.Module:
    return horner.models.build(name, shape=shape, batch_norm=batch_norm)


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


def drawn(program: Program) -> Program:
    """Return an integer program with other coefficients: random ones whose expanded weights fit int8."""
    generator = np.random.default_rng(SEED)
    layers = tuple(_drawn(layer, generator) if isinstance(layer, Conv) else layer for layer in program.layers)
    return dataclasses.replace(program, layers=layers)


def _drawn(conv: Conv, generator: np.random.Generator) -> Conv:
    weights = conv.weights
    assert isinstance(weights, Positional)
    families = math.prod(weights.shifts.shape)
    core = np.zeros(weights.core.shape, np.int64)
    # the largest value of every family's polynomial, and so what its coefficients may be for all of them to fit 127
    reach = functools.reduce(np.multiply.outer, [np.abs(axis.stored).max(0) for axis in weights.axes])
    limit = np.maximum(127 // (families * reach.astype(np.int64)), 1)
    core = generator.integers(1, limit + 1) * generator.choice((-1, 1), core.shape)
    chosen = Positional(weights.axes, core, 8)
    expanded = chosen.expand()
    sums = expanded.sum((1, 2, 3)) * SPREAD / 2, expanded.astype(float).reshape(len(expanded), -1)
    size = math.sqrt(float((sums[0] ** 2 + (sums[1] ** 2).sum(1) * SPREAD**2).mean()))
    shift = max(round(math.log2(size / SPREAD)) + 6, 0)
    one = round(2**shift * SPREAD / size)
    output = dataclasses.replace(conv.output, multiplier=constant(one, weights.shape[0], 8), shift=shift)
    return dataclasses.replace(conv, weights=chosen, output=output)
