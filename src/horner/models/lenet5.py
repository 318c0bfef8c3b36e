"""LeNet-5 as it is trained today: ReLU, max pooling, dense connections between the convolutions."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from horner.models._layers import norm1d, norm2d, positions


class LeNet5(nn.Module):
    """6@5x5, 16@5x5, 120, 84, classes; 61,706 parameters on 28x28 grey images (LeCun et al., 1998).

    Parameters
    ----------
    in_channels, classes, size
        Channels and side of the square images; length of the output.
    batch_norm
        Normalise after every layer but the last (the original has none). The biases before a
        normalisation would be redundant, so they are left out.
    padding
        Of the first convolution. 2 gives the 1998 network its 32x32 field on 28x28 images.

    >>> LeNet5()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, in_channels: int = 1, classes: int = 10, size: int = 28, batch_norm: bool = False, padding: int = 2
    ) -> None:
        super().__init__()
        bias = not batch_norm
        side = positions("lenet5", size, (5, 1, padding), (2, 2, 0), (5, 1, 0), (2, 2, 0))
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=padding, bias=bias)
        self.bn1 = norm2d(6, batch_norm)
        self.conv2 = nn.Conv2d(6, 16, 5, bias=bias)
        self.bn2 = norm2d(16, batch_norm)
        self.fc1 = nn.Linear(16 * side * side, 120, bias=bias)
        self.bn3 = norm1d(120, batch_norm)
        self.fc2 = nn.Linear(120, 84, bias=bias)
        self.bn4 = norm1d(84, batch_norm)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = x.flatten(1)
        x = F.relu(self.bn3(self.fc1(x)))
        x = F.relu(self.bn4(self.fc2(x)))
        return self.fc3(x)
