"""AlexNet cut to 32x32 images: five convolutions and one classifier."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from horner.models._layers import norm2d, positions


class AlexNet(nn.Module):
    """The five convolutions of Krizhevsky's 2014 "one weird trick" AlexNet for CIFAR; 2,472,266 parameters.

    Channels 64, 192, 384, 256, 256 and kernels 11 (stride 4), 5, 3, 3, 3 as on ImageNet; poolings are
    2x2 and the two large fully connected layers are left out, as is usual at 32x32, where the last
    feature map is a single position.

    Parameters
    ----------
    in_channels, classes, size
        Channels and side of the square images; length of the output.
    batch_norm
        Normalise after every convolution (the original has none); the convolutions then have no bias.
    """

    def __init__(self, in_channels: int = 3, classes: int = 10, size: int = 32, batch_norm: bool = False) -> None:
        super().__init__()
        bias = not batch_norm
        side = positions("alexnet", size, (11, 4, 5), (2, 2, 0), (2, 2, 0), (2, 2, 0))
        self.conv1 = nn.Conv2d(in_channels, 64, 11, stride=4, padding=5, bias=bias)
        self.bn1 = norm2d(64, batch_norm)
        self.conv2 = nn.Conv2d(64, 192, 5, padding=2, bias=bias)
        self.bn2 = norm2d(192, batch_norm)
        self.conv3 = nn.Conv2d(192, 384, 3, padding=1, bias=bias)
        self.bn3 = norm2d(384, batch_norm)
        self.conv4 = nn.Conv2d(384, 256, 3, padding=1, bias=bias)
        self.bn4 = norm2d(256, batch_norm)
        self.conv5 = nn.Conv2d(256, 256, 3, padding=1, bias=bias)
        self.bn5 = norm2d(256, batch_norm)
        self.fc1 = nn.Linear(256 * side * side, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = F.relu(self.bn3(self.conv3(x)))
        x = F.relu(self.bn4(self.conv4(x)))
        x = F.max_pool2d(F.relu(self.bn5(self.conv5(x))), 2)
        return self.fc1(x.flatten(1))
