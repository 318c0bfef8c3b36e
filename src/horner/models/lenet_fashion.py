"""LeNet-5 without padding, the smaller variant commonly trained on Fashion-MNIST."""

from __future__ import annotations

from horner.models.lenet5 import LeNet5


class LeNetFashion(LeNet5):
    """LeNet-5's layers applied directly to 28x28 images: feature maps of 24, 12, 8, 4; 44,426 parameters.

    The 1998 network expects 32x32; on 28x28 images many LeNets for Fashion-MNIST drop the
    padding instead of adding it, which shrinks ``fc1`` from 400x120 to 256x120. Everything else,
    layer names included, is :class:`~horner.models.lenet5.LeNet5`.
    """

    def __init__(self, in_channels: int = 1, classes: int = 10, size: int = 28, batch_norm: bool = False) -> None:
        super().__init__(in_channels, classes, size, batch_norm, padding=0)
