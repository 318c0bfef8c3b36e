"""LeNet-5 in the form that Caffe's MNIST example made the yardstick of the compression literature."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from horner.models._layers import norm1d, norm2d, positions


class LeNet5Caffe(nn.Module):
    """20@5x5, 50@5x5, 500, classes; 431,080 parameters on 28x28 grey images.

    As in Caffe there is no activation between a convolution and its pooling: the one
    non-linearity is the ReLU after ``fc1`` (and the pooling itself). The compression literature
    mostly trains it with a ReLU after the convolutions too, which changes no parameter and no size.

    Parameters
    ----------
    in_channels, classes, size
        Channels and side of the square images; length of the output.
    batch_norm
        Normalise after every layer but the last (the original has none); those layers then have no bias.
    relu
        Whether the convolutions too are followed by a ReLU.
    """

    def __init__(
        self, in_channels: int = 1, classes: int = 10, size: int = 28, batch_norm: bool = False, relu: bool = False
    ) -> None:
        super().__init__()
        self.activation = nn.ReLU() if relu else nn.Identity()
        bias = not batch_norm
        side = positions("lenet5-caffe", size, (5, 1, 0), (2, 2, 0), (5, 1, 0), (2, 2, 0))
        self.conv1 = nn.Conv2d(in_channels, 20, 5, bias=bias)
        self.bn1 = norm2d(20, batch_norm)
        self.conv2 = nn.Conv2d(20, 50, 5, bias=bias)
        self.bn2 = norm2d(50, batch_norm)
        self.fc1 = nn.Linear(50 * side * side, 500, bias=bias)
        self.bn3 = norm1d(500, batch_norm)
        self.fc2 = nn.Linear(500, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        x = F.max_pool2d(self.activation(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(self.activation(self.bn2(self.conv2(x))), 2)
        x = F.relu(self.bn3(self.fc1(x.flatten(1))))
        return self.fc2(x)
