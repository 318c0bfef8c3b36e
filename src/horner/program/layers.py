"""The layers of a program: frozen, typed, with NumPy arrays; nothing here computes an activation.

Activations are ``(channels, rows, columns)``; a fully connected layer is a convolution whose kernel
is the whole map. A layer names the values it reads by number: value 0 is the program's input,
value ``i + 1`` the output of layer ``i``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from horner.errors import ProgramError
from horner.program.integer import INT8_HIGH, INT8_LOW
from horner.program.weights import FLOAT_BITS, Positional, Weights

Pair = tuple[int, int]


@dataclass(frozen=True)
class Value:
    """What is known of an activation before running: its shape and the integer that means zero."""

    shape: tuple[int, int, int]
    zero_point: int = 0

    @property
    def size(self) -> int:
        """Elements of one activation."""
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Output:
    """How accumulators become activations.

    Integers: ``saturate(round_shift(accumulator * multiplier, shift) + zero_point, low, high)``.
    Floats: ``clip(accumulator * multiplier, low, high)``, with shift and zero point 0.

    Parameters
    ----------
    multiplier
        One value per output channel, a vector of one axis.
    shift
        Right shift after the multiplication, 0 to 62.
    zero_point
        The integer that stands for zero, -128 to 127.
    low, high
        Clamp of the result; ReLU is ``low = zero_point``.
    """

    multiplier: Positional
    shift: int = 0
    zero_point: int = 0
    low: float = INT8_LOW
    high: float = INT8_HIGH


@dataclass(frozen=True, eq=False)
class Conv:
    """Convolution (or, with the map as its kernel, fully connected layer), bias, affine and clamp.

    Parameters
    ----------
    source
        The value read.
    weights
        ``(out, in / groups, row, col)``.
    bias
        One value per output channel in units of the accumulator, or None.
    output
        From accumulator to activation.
    stride, padding, dilation
        (rows, columns); padding is zero padding on both sides.
    groups
        Groups of channels; depthwise when equal to the input channels.
    """

    source: int
    weights: Weights
    bias: Positional | None
    output: Output
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def inputs(self) -> tuple[int, ...]:
        """The values read."""
        return (self.source,)

    def infer(self, values: Sequence[Value]) -> Value:
        """Return shape and zero point of the output; raise ProgramError where the shapes disagree."""
        if len(self.weights.shape) != 4:
            raise ProgramError(f"weights of shape {self.weights.shape}; out, in, row and col are wanted")
        out, per_group, *kernel = self.weights.shape
        channels, *size = values[0].shape
        if self.groups < 1 or channels != per_group * self.groups or out % self.groups:
            raise ProgramError(f"weights {self.weights.shape} in {self.groups} groups do not fit {channels} channels")
        vectors = {"bias": self.bias, "multiplier": self.output.multiplier}
        for name, vector in vectors.items():
            if vector is not None and vector.shape != (out,):
                raise ProgramError(f"the {name} has shape {vector.shape} for {out} output channels")
            if vector is not None and (vector.bits == FLOAT_BITS) != (self.weights.bits == FLOAT_BITS):
                raise ProgramError(f"the {name} and the weights must both be integers or both be floats")
        shape = _window(size, kernel, self.stride, self.padding, self.dilation, ceil=False)
        return Value((out, *shape), self.output.zero_point)


@dataclass(frozen=True)
class MaxPool:
    """Maximum over windows; padding never wins."""

    source: int
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil: bool = False

    @property
    def inputs(self) -> tuple[int, ...]:
        """The values read."""
        return (self.source,)

    def infer(self, values: Sequence[Value]) -> Value:
        """Return shape and zero point of the output."""
        _check_padding(self.kernel, self.padding)
        channels, *size = values[0].shape
        shape = _window(size, self.kernel, self.stride, self.padding, self.dilation, self.ceil)
        return Value((channels, *shape), values[0].zero_point)


@dataclass(frozen=True)
class AveragePool:
    """Mean over windows, in the scale of its input: ``round_divide(sum(q - zero), count) + zero``."""

    source: int
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    ceil: bool = False
    count_padding: bool = True

    @property
    def inputs(self) -> tuple[int, ...]:
        """The values read."""
        return (self.source,)

    def infer(self, values: Sequence[Value]) -> Value:
        """Return shape and zero point of the output."""
        _check_padding(self.kernel, self.padding)
        channels, *size = values[0].shape
        shape = _window(size, self.kernel, self.stride, self.padding, (1, 1), self.ceil)
        return Value((channels, *shape), values[0].zero_point)

    def windows(self, size: Pair) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """Return (start, stop, count) of every window along rows and along columns of a map of `size`.

        The elements averaged are ``start..stop``, clipped to the map; a window's divisor is the product of its
        two counts.
        """
        rows, columns = (
            _spans(length, kernel, stride, padding, outputs, self.count_padding)
            for length, kernel, stride, padding, outputs in zip(
                size,
                self.kernel,
                self.stride,
                self.padding,
                _window(size, self.kernel, self.stride, self.padding, (1, 1), self.ceil),
                strict=True,
            )
        )
        return rows, columns


@dataclass(frozen=True)
class AdaptiveAveragePool:
    """Mean over windows that divide the map as evenly as can be, as torch cuts them."""

    source: int
    size: Pair

    @property
    def inputs(self) -> tuple[int, ...]:
        """The values read."""
        return (self.source,)

    def infer(self, values: Sequence[Value]) -> Value:
        """Return shape and zero point of the output."""
        if min(self.size) < 1:
            raise ProgramError(f"adaptive pooling to {self.size}: sizes must be at least 1")
        return Value((values[0].shape[0], *self.size), values[0].zero_point)

    def windows(self, size: Pair) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """Return (start, stop, count) of every window along rows and along columns, as `AveragePool.windows`."""
        rows, columns = (
            [
                (
                    i * length // outputs,
                    -(-(i + 1) * length // outputs),
                    -(-(i + 1) * length // outputs) - i * length // outputs,
                )
                for i in range(outputs)
            ]
            for length, outputs in zip(size, self.size, strict=True)
        )
        return rows, columns


@dataclass(frozen=True)
class Add:
    """Sum of one or more activations, each with its own multiplier; with one it rescales or clamps.

    Integers: ``saturate(round_shift(sum((q_i - zero_i) * multipliers[i]), shift) + zero_point, low, high)``.
    Floats: multipliers are 1, shift and zero point 0.
    """

    inputs: tuple[int, ...]
    multipliers: tuple[int, ...]
    shift: int = 0
    zero_point: int = 0
    low: float = INT8_LOW
    high: float = INT8_HIGH

    def infer(self, values: Sequence[Value]) -> Value:
        """Return shape and zero point of the output; the shapes of the inputs must agree."""
        if not self.inputs or len(self.inputs) != len(self.multipliers):
            raise ProgramError(f"{len(self.inputs)} inputs with {len(self.multipliers)} multipliers")
        if len({value.shape for value in values}) != 1:
            raise ProgramError(f"cannot add shapes {', '.join(str(value.shape) for value in values)}")
        return Value(values[0].shape, self.zero_point)


@dataclass(frozen=True)
class Concat:
    """Channels of several activations one after the other, each rescaled to the common scale.

    Integers: ``saturate(round_shift((q_i - zero_i) * multipliers[i], shift) + zero_point)``.
    """

    inputs: tuple[int, ...]
    multipliers: tuple[int, ...]
    shift: int = 0
    zero_point: int = 0

    def infer(self, values: Sequence[Value]) -> Value:
        """Return shape and zero point of the output; the maps of the inputs must agree in size."""
        if not self.inputs or len(self.inputs) != len(self.multipliers):
            raise ProgramError(f"{len(self.inputs)} inputs with {len(self.multipliers)} multipliers")
        if len({value.shape[1:] for value in values}) != 1:
            raise ProgramError(f"cannot concatenate shapes {', '.join(str(value.shape) for value in values)}")
        return Value((sum(value.shape[0] for value in values), *values[0].shape[1:]), self.zero_point)


@dataclass(frozen=True)
class Flatten:
    """``(channels, rows, columns)`` read as ``(channels * rows * columns, 1, 1)``; nothing moves."""

    source: int

    @property
    def inputs(self) -> tuple[int, ...]:
        """The values read."""
        return (self.source,)

    def infer(self, values: Sequence[Value]) -> Value:
        """Return shape and zero point of the output."""
        return Value((values[0].size, 1, 1), values[0].zero_point)


Layer = Conv | MaxPool | AveragePool | AdaptiveAveragePool | Add | Concat | Flatten


def _window(
    size: Sequence[int], kernel: Sequence[int], stride: Pair, padding: Pair, dilation: Pair, ceil: bool
) -> tuple[int, int]:
    """Outputs along rows and columns of a sliding window."""
    if min(*kernel, *stride, *dilation) < 1 or min(padding) < 0:
        raise ProgramError(
            f"kernel {tuple(kernel)}, stride {stride}, dilation {dilation} must be positive, "
            f"padding {padding} not negative"
        )
    counts = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        free = n + 2 * p - d * (k - 1) - 1
        if free < 0:
            raise ProgramError(
                f"a kernel of {tuple(kernel)} (dilation {dilation}) does not fit a map of {tuple(size)} "
                f"with padding {padding}"
            )
        count = free // s + 1
        if ceil and free % s and count * s < n + p:  # torch: the last window must start inside the map
            count += 1
        counts.append(count)
    return counts[0], counts[1]


def _spans(
    length: int, kernel: int, stride: int, padding: int, outputs: int, count_padding: bool
) -> list[tuple[int, int, int]]:
    spans = []
    for i in range(outputs):
        start = i * stride - padding
        padded_stop = min(start + kernel, length + padding)
        low, high = max(start, 0), min(padded_stop, length)
        spans.append((low, high, padded_stop - start if count_padding else high - low))
    return spans


def _check_padding(kernel: Pair, padding: Pair) -> None:
    if any(2 * p > k for k, p in zip(kernel, padding, strict=True)):
        raise ProgramError(f"pooling padding {padding} is more than half the kernel {kernel}")
