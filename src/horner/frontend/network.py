"""The network as the program will compute it: batch norm folded, every rounding simulated, still trainable.

`lower` makes one from a captured graph, `QuantisedNetwork.calibrate` chooses every scale, any training loop may
then go on with it, and `horner.frontend.freeze` reads the integers off.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from horner.approximation.factored import convolve, worthwhile
from horner.approximation.positional import full_precision
from horner.errors import ModelError
from horner.frontend.graph import AdaptivePooling, AveragePooling, MaxPooling, Pair
from horner.frontend.quantisers import MOST, MULTIPLIER_BITS, RESCALE_BITS, Grid, nearest, rescaled, straight, thin
from horner.frontend.tensors import Core, Vector

Pool = Callable[[torch.Tensor], torch.Tensor]


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

    def real(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the result of real inputs, before any clamp."""
        raise TypeError(f"{type(self).__name__} computes nothing")

    def quantised(self, inputs: Sequence[torch.Tensor], grids: Sequence[Grid]) -> torch.Tensor:
        """Return the integers that a program computes, less their zero point, from such integers and their grids."""
        assert self.grid is not None
        multipliers, shift = rescaled(torch.stack([grid.scale / self.grid.scale for grid in grids]), RESCALE_BITS)
        scaled = self.real([q * multiplier for q, multiplier in zip(inputs, multipliers, strict=True)])
        return self.grid(scaled * 2.0**-shift)


class ConvStage(Stage):
    """Convolution or fully connected layer with its folded affine and clamp.

    ``result = clamp((conv(x, weight) + bias) * scale)``
    """

    grid: Grid

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

    def real(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the result before any clamp."""
        y = self._convolve(inputs[0], self.weight(quantise=False))
        if self.bias is not None:
            y = y + self.bias(None).reshape(1, -1, 1, 1)
        if self.scale is not None:
            y = y * self.scale(None).reshape(1, -1, 1, 1)
        return y

    def quantised(
        self, inputs: Sequence[torch.Tensor], grids: Sequence[Grid], pool: Pool | None = None
    ) -> torch.Tensor:
        """Return the integers; exact in evaluation mode, as float32 holds accumulators below 2**24.

        With `pool`, max pooling, their pooled integers: rounding and clamping keep order (a negative multiplier turns
        it round), so the few sums that pooling leaves are all that need them.
        """
        unit = self.weight.step * grids[0].scale
        if self.training and worthwhile(self.weight.form, self.stride, self.groups):
            form, theta = self.weight.integer_form()
            y = convolve(inputs[0], form, theta, self._convolve)
        else:
            y = self._convolve(inputs[0], self.weight(quantise=True))
        if self.scale is not None:
            factors = self.scale(self.grid.scale / unit, whole=False).reshape(1, -1, 1, 1)
        else:
            multiplier, shift = rescaled(unit / self.grid.scale, MULTIPLIER_BITS)
            factors = multiplier * 2.0**-shift
        if pool is not None:
            signs = torch.where(factors.detach() < 0, -1.0, 1.0).float()
            falling = bool((signs < 0).any())
            y = pool(y * signs) * signs if falling else pool(y)
        if self.bias is not None:
            y = y + self.bias(unit).reshape(1, -1, 1, 1)
        return self.grid(y * factors if self.training else y.double() * factors).float()

    def _convolve(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, weight, None, self.stride, self.padding, self.dilation, self.groups)


class PoolStage(Stage):
    """Max, average or adaptive average pooling, on the grid of its input."""

    def __init__(self, source: int, pooling: MaxPooling | AveragePooling | AdaptivePooling) -> None:
        super().__init__([source], None)
        self.pooling = pooling

    def real(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the pooled values."""
        p = self.pooling
        if isinstance(p, MaxPooling):
            return F.max_pool2d(inputs[0], p.kernel, p.stride, p.padding, p.dilation, p.ceil)
        if isinstance(p, AveragePooling):
            return F.avg_pool2d(inputs[0], p.kernel, p.stride, p.padding, p.ceil, p.count_padding)
        return F.adaptive_avg_pool2d(inputs[0], p.size)

    def quantised(self, inputs: Sequence[torch.Tensor], grids: Sequence[Grid]) -> torch.Tensor:
        """Return the pooled integers, averages rounded."""
        y = self.real(inputs)
        return straight(y, nearest(y * (1 + 2.0**-16)))  # float32 noise must not decide a half


class AddStage(Stage):
    """Sum of activations; of a single one, a clamp on its own."""

    def real(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the sum."""
        return sum(inputs[1:], inputs[0])


class ConcatStage(Stage):
    """Channels of several activations, one after the other."""

    def real(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the concatenation."""
        return torch.cat(list(inputs), 1)


class FlattenStage(Stage):
    """A map read as one row of channels."""

    def __init__(self, source: int) -> None:
        super().__init__([source], None)

    def real(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return ``(n, channels * rows * columns, 1, 1)``."""
        return inputs[0].reshape(len(inputs[0]), -1, 1, 1)

    def quantised(self, inputs: Sequence[torch.Tensor], grids: Sequence[Grid]) -> torch.Tensor:
        """Return the same integers."""
        return self.real(inputs)


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

    Attributes
    ----------
    quantise
        Whether `forward` simulates the integers of a program; `calibrate` turns it on. Saved with the state.
    pixels
        Whether the program will read pixels. Saved with the state.
    exact
        Whether `forward` ignores autocast: in bfloat16 the integers that sums make do not survive.
    """

    pixel_offset: torch.Tensor

    def __init__(self, shape: tuple[int, int, int], stages: Sequence[Stage], head: str) -> None:
        super().__init__()
        self.shape = shape
        self.head = head
        self.input = Grid().fix_(1.0, 0)
        self.register_buffer("pixel_offset", torch.zeros(()))
        self.stages = nn.ModuleList(stages)
        self.pixels = False
        self.quantise = False
        self.exact = True
        self._last = {source: number for number, stage in enumerate(stages) for source in stage.sources}
        self._pooled = _pooled(stages)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(n, classes)`` for images as the original network takes them."""
        outputs = images
        with full_precision(images) if self.exact else contextlib.nullcontext():
            for outputs in self.trace(images):  # noqa: B007
                pass
        if self.quantise:
            outputs = outputs * self.grids()[-1].scale
        return outputs.flatten(1) if outputs.shape[2:] == (1, 1) else outputs

    @torch.no_grad()
    def calibrate(
        self, images: torch.Tensor, pixels: tuple[float, float] | None = None, batch: int = 100
    ) -> QuantisedNetwork:
        """Choose every step, scale and zero point from real images, and start simulating the rounding.

        Parameters
        ----------
        images
            A few hundred images as the original network takes them, on the network's device.
        pixels
            (mean, std) in units of a pixel, when images are ``(pixel - mean) / std``; the network then reads pixels.
        batch
            Images worked on at a time.
        """
        if images.ndim != 4 or tuple(images.shape[1:]) != self.shape or not len(images):
            raise ModelError(f"calibration images of shape {tuple(images.shape)}; the network reads (n, {self.shape})")
        if not bool(images.isfinite().all()):
            raise ModelError("the calibration images hold values that are not finite")
        self.quantise = False
        self.pixels = pixels is not None
        self.pixel_offset.zero_()
        if pixels is None:
            found = Grid()
            found.calibrate(thin(images))
            self.input.fix_(float(found.scale), int(found.zero_point))
        else:
            mean, std = pixels
            self.input.fix_(1.0 / std, max(-128, min(127, round(mean) - 128)))
            self.pixel_offset.fill_((mean - round(mean)) / std)  # pixels are whole numbers, their mean is not
        parts = images.split(batch)
        seen: list[list[torch.Tensor]] = [[] for _ in self.stages]
        for part in parts:
            for number, value in enumerate(self.trace(part)):
                seen[number].append(thin(value, MOST // len(parts) + 2))
        for stage, values in zip(self.layers(), seen, strict=True):
            if isinstance(stage, ConvStage):
                stage.weight.calibrate()
            if stage.grid is not None:
                stage.grid.calibrate(torch.cat(values))
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

    def trace(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield every stage's result in turn, ``(n, c, h, w)``: real, or integers less their zero point."""
        images = images.float()
        grids = self.grids()
        values = {0: self.input((images + self.pixel_offset) / self.input.scale) if self.quantise else images}
        for number, stage in enumerate(self.layers()):
            inputs = [values[source] for source in stage.sources]
            fuse = self.quantise and self.training
            if fuse and number in self._pooled:  # it yields what the pooling after it would make of its result
                assert isinstance(stage, ConvStage)
                pooling = self.layers()[number + 1]
                y = stage.quantised(inputs, [grids[stage.sources[0]]], lambda sums, by=pooling: by.real([sums]))  # type: ignore[misc]
            elif fuse and number - 1 in self._pooled:
                y = inputs[0]
            elif self.quantise:
                y = stage.quantised(inputs, [grids[source] for source in stage.sources])
            else:
                y = stage.real(inputs)
                if stage.grid is not None:
                    y = torch.clamp(y, stage.grid.low, stage.grid.high)
            values[number + 1] = y
            for source in stage.sources:
                if self._last[source] == number:
                    values.pop(source, None)
            yield y

    def get_extra_state(self) -> torch.Tensor:
        """Return what a state holds beside tensors that are trained."""
        return torch.tensor([self.quantise, self.pixels])

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Take up what `get_extra_state` returned."""
        self.quantise, self.pixels = (bool(flag) for flag in state)


def _pooled(stages: Sequence[Stage]) -> set[int]:
    """The convolutions that nothing but a max pooling reads, the one right after them."""
    readers = [source for stage in stages for source in stage.sources]
    return {
        number
        for number, (stage, after) in enumerate(itertools.pairwise(stages))
        if isinstance(stage, ConvStage)
        and isinstance(after, PoolStage)
        and isinstance(after.pooling, MaxPooling)
        and after.sources == (number + 1,)
        and readers.count(number + 1) == 1
    }
