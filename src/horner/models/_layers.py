"""The few pieces that several networks share."""

from __future__ import annotations

from torch import nn

from horner.errors import ModelError


def norm2d(channels: int, batch_norm: bool) -> nn.Module:
    """Batch normalisation of feature maps, or nothing in its place."""
    return nn.BatchNorm2d(channels) if batch_norm else nn.Identity()


def norm1d(features: int, batch_norm: bool) -> nn.Module:
    """Batch normalisation of a feature vector, or nothing in its place."""
    return nn.BatchNorm1d(features) if batch_norm else nn.Identity()


def positions(network: str, size: int, *layers: tuple[int, int, int]) -> int:
    """Return the side of the map that ``(kernel, stride, padding)`` layers leave of a ``size`` x ``size`` image.

    Raises
    ------
    ModelError
        When the image is too small for the network.

    >>> positions("lenet5", 28, (5, 1, 2), (2, 2, 0), (5, 1, 0), (2, 2, 0))
    5
    """
    side = size
    for kernel, stride, padding in layers:
        side = (side + 2 * padding - kernel) // stride + 1
        if side < 1:
            raise ModelError(f"{network}: images of {size}x{size} are too small for its layers; give larger images")
    return side


def he_init(module: nn.Module) -> None:
    """Draw convolution weights as He et al. (2015) do: normal, fan-out, for ReLU; biases start at zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
