"""The network as the program will compute it: batch norm folded, every rounding simulated, still trainable.

`lower` makes one from a captured graph, `QuantisedNetwork.calibrate` chooses every scale, any training loop may
then go on with it, and `horner.frontend.freeze` reads the integers off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from horner.frontend.graph import AdaptivePooling, AveragePooling, MaxPooling, Pair
from horner.frontend.quantisers import Grid
from horner.frontend.tensors import Core, Vector


class Stage(nn.Module):
    """One layer of the network; reads values by number, as a program's layers do.

    Parameters
    ----------
    sources
        The values read: 0 is the input, ``i + 1`` the result of stage ``i``.
    grid
        The integer grid of the result; None when it is that of the (first) value read.
    """

    grid: Grid | None

    def __init__(self, sources: Sequence[int], grid: Grid | None) -> None:
        super().__init__()
        self.sources = tuple(sources)
        self.grid = grid

    def compute(self, inputs: Sequence[torch.Tensor], grids: Sequence[Grid], quantise: bool) -> torch.Tensor:
        """Return the real result before it is rounded to the grid."""
        raise TypeError(f"{type(self).__name__} computes nothing")


class ConvStage(Stage):
    """Convolution or fully connected layer with its folded affine and clamp.

    ``result = clamp((conv(x, weight) + bias) * scale)``
    """

    def __init__(
        self,
        source: int,
        grid: Grid,
        weight: Core,
        bias: Vector | None,
        scale: Vector | None,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__([source], grid)
        self.weight, self.bias, self.scale = weight, bias, scale
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def compute(self, inputs: Sequence[torch.Tensor], grids: Sequence[Grid], quantise: bool) -> torch.Tensor:
        """Return the real result before it is rounded to the grid."""
        assert self.grid is not None
        accumulator = self.weight.step * grids[0].scale if quantise else None
        y = F.conv2d(inputs[0], self.weight(quantise), None, self.stride, self.padding, self.dilation, self.groups)
        if self.bias is not None:
            y = y + self.bias(accumulator).reshape(1, -1, 1, 1)
        if self.scale is not None:
            unit = self.grid.scale / accumulator if accumulator is not None else None
            y = y * self.scale(unit, whole=False).reshape(1, -1, 1, 1)
        return y


class PoolStage(Stage):
    """Max, average or adaptive average pooling, on the grid of its input."""

    def __init__(self, source: int, pooling: MaxPooling | AveragePooling | AdaptivePooling) -> None:
        super().__init__([source], None)
        self.pooling = pooling

    def compute(self, inputs: Sequence[torch.Tensor], grids: Sequence[Grid], quantise: bool) -> torch.Tensor:
        """Return the pooled values, averages rounded to the input's grid."""
        p = self.pooling
        if isinstance(p, MaxPooling):
            return F.max_pool2d(inputs[0], p.kernel, p.stride, p.padding, p.dilation, p.ceil)
        if isinstance(p, AveragePooling):
            mean = F.avg_pool2d(inputs[0], p.kernel, p.stride, p.padding, p.ceil, p.count_padding)
        else:
            mean = F.adaptive_avg_pool2d(inputs[0], p.size)
        return grids[0](mean) if quantise else mean


class AddStage(Stage):
    """Sum of activations; of a single one, a clamp on its own."""

    def compute(self, inputs: Sequence[torch.Tensor], grids: Sequence[Grid], quantise: bool) -> torch.Tensor:
        """Return the sum."""
        return sum(inputs[1:], inputs[0])


class ConcatStage(Stage):
    """Channels of several activations, one after the other."""

    def compute(self, inputs: Sequence[torch.Tensor], grids: Sequence[Grid], quantise: bool) -> torch.Tensor:
        """Return the concatenation."""
        return torch.cat(list(inputs), 1)


class FlattenStage(Stage):
    """A map read as one row of channels."""

    def __init__(self, source: int) -> None:
        super().__init__([source], None)

    def compute(self, inputs: Sequence[torch.Tensor], grids: Sequence[Grid], quantise: bool) -> torch.Tensor:
        """Return ``(n, channels * rows * columns, 1, 1)``."""
        return inputs[0].reshape(len(inputs[0]), -1, 1, 1)


class QuantisedNetwork(nn.Module):
    """Stages between an input and logits, with or without simulated rounding.

    Parameters
    ----------
    shape
        Of one input image.
    stages
        In an order in which every stage comes after what it reads.
    head
        What the original applied to its logits; `forward` returns the logits.
    """

    input: Grid

    def __init__(self, shape: tuple[int, int, int], stages: Sequence[Stage], head: str) -> None:
        super().__init__()
        self.shape = shape
        self.head = head
        self.input = Grid.fixed(1.0, 0)
        self.pixels = False
        self.stages = nn.ModuleList(stages)
        self.quantise = False

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(n, classes)`` for images as the original network takes them."""
        outputs = self._run(images)[-1]
        return outputs.flatten(1) if outputs.shape[2:] == (1, 1) else outputs

    def calibrate(self, images: torch.Tensor, pixels: tuple[float, float] | None = None) -> QuantisedNetwork:
        """Choose every step, scale and zero point from real images, and start simulating the rounding.

        Parameters
        ----------
        images
            A few hundred images as the original network takes them, on the network's device.
        pixels
            (mean, std) in units of a pixel, when images are ``(pixel - mean) / std``; the network then reads pixels.
        """
        if pixels is None:
            found = Grid()
            found.calibrate(images)
            scale, zero = float(found.scale.detach()), int(found.zero_point)
        else:
            scale, zero = 1.0 / pixels[1], round(pixels[0]) - 128
        self.input = Grid.fixed(scale, zero).to(images.device)
        self.pixels = pixels is not None
        with torch.no_grad():
            for stage in self.layers():
                if isinstance(stage, ConvStage):
                    stage.weight.calibrate()
            self.quantise = False
            values = self._run(images)
            for stage, value in zip(self.layers(), values[1:], strict=True):
                if stage.grid is not None:
                    stage.grid.calibrate(value)
        self.quantise = True
        return self

    def layers(self) -> list[Stage]:
        """Return the stages, in order."""
        return cast(list[Stage], list(self.stages))

    def grids(self) -> list[Grid]:
        """Return the grid of every value."""
        grids = [self.input]
        for stage in self.layers():
            grids.append(stage.grid if stage.grid is not None else grids[stage.sources[0]])
        return grids

    def _run(self, images: torch.Tensor) -> list[torch.Tensor]:
        grids = self.grids()
        values = [self.input(images) if self.quantise else images]
        for stage in self.layers():
            sources = stage.sources
            y = stage.compute([values[i] for i in sources], [grids[i] for i in sources], self.quantise)
            if stage.grid is not None:
                y = stage.grid(y) if self.quantise else torch.clamp(y, stage.grid.low, stage.grid.high)
            values.append(y)
        return values
