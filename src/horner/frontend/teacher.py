"""A program that teaches: its logits as quickly as training computes them, and nothing of it trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from horner.approximation.layers import Form
from horner.approximation.positional import PositionalWeight
from horner.frontend.network import ConvStage
from horner.frontend.tensors import Core
from horner.frontend.thaw import thaw
from horner.program.program import Input, Program


class Teacher(nn.Module):
    """A program's logits for real images, up to rounding of accumulators: float32's, or, under autocast, its type's.

    ``(n, channels, rows, columns)`` to ``(n, classes)``. Weights are expanded once.

    Parameters
    ----------
    program
        On integers.
    images
        How images are given: as real values of this input of pixels, or, by default, as the program's own.
    """

    logit_scale: torch.Tensor

    def __init__(self, program: Program, images: Input | None = None) -> None:
        super().__init__()
        given, own = images or program.input, program.input
        self.contrast = own.scale / given.scale
        self.brightness = (given.zero_point - own.zero_point) * own.scale
        self.register_buffer("logit_scale", torch.ones(()))
        self.network = thaw(program).requires_grad_(False)
        self.network.exact = False
        for stage in self.network.stages:
            if isinstance(stage, ConvStage):
                stage.weight = _Still(stage.weight)  # type: ignore[assignment]
        self.train(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        if (self.contrast, self.brightness) != (1.0, 0.0):
            images = images * self.contrast + self.brightness
        logits: torch.Tensor = self.network(images)
        return logits * self.logit_scale

    def match_spread(self, other: nn.Module, images: torch.Tensor) -> Teacher:
        """Scale logits so that over some images they spread as much as another teacher's.

        One whose logits are five times as large is no surer of them than the other, it was only trained otherwise; a
        student of both would learn little but the scale.
        """
        with torch.no_grad():
            here, there = (_spread(teacher(images)) for teacher in (self, other))
        if here and there:
            self.logit_scale *= float(f"{there / here:.2g}")  # in few digits, which other machines find too
        return self

    def train(self, mode: bool = True) -> Teacher:
        """Leave the network in the mode that is quick; nothing in it learns in either."""
        super().train(mode)
        self.network.train()
        return self


def _spread(logits: torch.Tensor) -> float:
    """Standard deviation of logits around their image's mean."""
    return float((logits - logits.mean(1, keepdim=True)).square().mean().sqrt())


class _Still(nn.Module):
    """What a `Core` returns, computed once."""

    whole: torch.Tensor
    theta: torch.Tensor

    def __init__(self, core: Core) -> None:
        super().__init__()
        self.form: Form = core.form
        with torch.no_grad():
            self.register_buffer("step", core.step.clone())
            kept: Any = core.integer_form()[1] if isinstance(self.form, PositionalWeight) else None
            self.register_buffer("theta", kept)
            self.register_buffer("whole", core(True))

    def forward(self, quantise: bool) -> torch.Tensor:
        """Return the weights as integers in units of `step`."""
        assert quantise
        return self.whole

    def integer_form(self) -> tuple[PositionalWeight, torch.Tensor]:
        """Return the form of positional weights, and coordinates in units of `step`."""
        assert isinstance(self.form, PositionalWeight)
        return self.form, self.theta
