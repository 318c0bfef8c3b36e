"""The one intermediate form: a short, ordered list of layers between an input and an output."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from horner.errors import ProgramError
from horner.program.bounds import check
from horner.program.integer import INT8_HIGH, INT8_LOW, dequantise, quantise
from horner.program.layers import Conv, Layer, Value

LARGEST_ACTIVATION = 1 << 24
MOST_LAYERS = 4096

Head = Literal["logits", "softmax", "log_softmax"]


@dataclass(frozen=True)
class Input:
    """What a program reads.

    Parameters
    ----------
    shape
        (channels, rows, columns).
    scale, zero_point
        ``real = (q - zero_point) * scale`` with q int8.
    pixels
        Whether q is a pixel minus 128, so that uint8 images can be given as they are.
    arithmetic
        `int8`, or `float32` for a program that computes on the real values.

    The scale is kept as a float32, which is what files hold.
    """

    shape: tuple[int, int, int]
    scale: float = 1.0
    zero_point: int = 0
    pixels: bool = False
    arithmetic: Literal["int8", "float32"] = "int8"

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1 or math.prod(self.shape) > LARGEST_ACTIVATION:
            raise ProgramError(f"an input of shape {self.shape}; 1 to {LARGEST_ACTIVATION} elements are possible")
        if not INT8_LOW <= self.zero_point <= INT8_HIGH:
            raise ProgramError(f"the input's zero point {self.zero_point} is not int8")
        object.__setattr__(self, "scale", _scale(self.scale, "input"))


@dataclass(frozen=True, eq=False)
class Program:
    """An approximated classifier, ready to be run, saved, counted and generated.

    Parameters
    ----------
    input
        Shape, scale and kind of what is read.
    layers
        In an order in which every layer comes after the values it reads. The last one's output is the program's.
    output_scale
        ``logit = (q - zero_point) * output_scale``, kept as a float32.
    head
        What the original network applied to its logits; the program's outputs are the logits themselves.
    """

    input: Input
    layers: tuple[Layer, ...]
    output_scale: float = 1.0
    head: Head = "logits"

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MOST_LAYERS:
            raise ProgramError(f"a program has 1 to {MOST_LAYERS} layers, not {len(self.layers)}")
        object.__setattr__(self, "output_scale", _scale(self.output_scale, "output"))
        check(self)

    @functools.cached_property
    def values(self) -> tuple[Value, ...]:
        """Every activation: value 0 is the input, value ``i + 1`` the output of layer ``i``."""
        values = [Value(self.input.shape, self.input.zero_point if self.integer else 0)]
        for number, layer in enumerate(self.layers):
            try:
                values.append(infer(layer, values))
            except ProgramError as error:
                raise ProgramError(f"layer {number} ({type(layer).__name__}): {error}") from None
        return tuple(values)

    @property
    def integer(self) -> bool:
        """Whether the program computes on integers."""
        return self.input.arithmetic == "int8"

    @property
    def output(self) -> Value:
        """Shape and zero point of the output."""
        return self.values[-1]

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """A short name for every layer: conv1, pool1, linear1, ..."""
        seen: Counter[str] = Counter()
        names = []
        for layer in self.layers:
            kind = _KINDS.get(type(layer).__name__, type(layer).__name__.lower())
            if isinstance(layer, Conv):
                kind = "linear" if self.is_linear(layer) else "conv"
            seen[kind] += 1
            names.append(f"{kind}{seen[kind]}")
        return tuple(names)

    def is_linear(self, layer: Conv) -> bool:
        """Whether a convolution sees its whole input at once: a fully connected layer."""
        return self.values[layer.source].shape[1:] == layer.weights.shape[2:] and not any(layer.padding)

    def quantise(self, images: np.ndarray) -> np.ndarray:
        """Turn images into what the first layer reads, ``(n, channels, rows, columns)``.

        Parameters
        ----------
        images
            One image ``(c, h, w)`` or a batch ``(n, c, h, w)``: uint8 pixels, int8 activations, or real values as
            the original network takes them.

        Raises
        ------
        ProgramError
            When the shape or the type is not what the program reads.
        """
        images = np.asarray(images)
        if images.shape == self.input.shape:
            images = images[None]
        if images.ndim != 4 or images.shape[1:] != self.input.shape:
            raise ProgramError(
                f"images of shape {images.shape}; this network reads (n, {', '.join(map(str, self.input.shape))})"
            )
        if images.dtype == np.uint8:
            if not self.input.pixels:
                raise ProgramError(
                    "this network was not trained on plain pixels; give it float images, normalised as for training"
                )
            images = (images ^ 0x80).view(np.int8)
        scale, zero = self.input.scale, self.input.zero_point
        if images.dtype == np.int8:
            return images if self.integer else dequantise(images, scale, zero)
        if images.dtype.kind != "f":
            raise ProgramError(f"images of type {images.dtype}; give uint8 pixels, int8 activations or floats")
        if np.isnan(images).any():
            first = int(np.isnan(images).reshape(len(images), -1).any(1).argmax())
            raise ProgramError(f"image {first} of {len(images)} holds NaN")
        return quantise(images, scale, zero) if self.integer else images.astype(np.float32)

    def logits(self, outputs: np.ndarray) -> np.ndarray:
        """Turn a backend's outputs into the real logits they stand for, float32 of the same shape."""
        return dequantise(outputs, self.output_scale, self.output.zero_point) if self.integer else outputs

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the softmax of the logits over the last axis, float32."""
        logits = self.logits(outputs)
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    def convolutions(self) -> list[tuple[str, Conv]]:
        """Name and layer of everything that has weights, in order."""
        return [(name, layer) for name, layer in zip(self.names, self.layers, strict=True) if isinstance(layer, Conv)]


def infer(layer: Layer, values: Sequence[Value]) -> Value:
    """Return what a layer makes of the values before it; raise ProgramError where it cannot."""
    if not all(0 <= i < len(values) for i in layer.inputs):
        raise ProgramError(f"reads values {layer.inputs}, of which only 0 to {len(values) - 1} exist here")
    value = layer.infer([values[i] for i in layer.inputs])
    if value.size > LARGEST_ACTIVATION:
        raise ProgramError(f"an output of {value.size} elements; at most {LARGEST_ACTIVATION} are possible")
    return value


def _scale(scale: float, what: str) -> float:
    with np.errstate(over="ignore", under="ignore"):
        single = float(np.float32(scale))
    if not 0 < single < math.inf:
        raise ProgramError(f"the {what} scale {scale} is not a positive float32")
    return single


_KINDS = {"MaxPool": "pool", "AveragePool": "pool", "AdaptiveAveragePool": "pool"}
