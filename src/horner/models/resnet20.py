"""ResNet-20 for CIFAR."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from horner.models._layers import he_init, norm2d


class Block(nn.Module):
    """Two 3x3 convolutions and a skip around them; the skip is a 1x1 projection where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int, batch_norm: bool) -> None:
        super().__init__()
        bias = not batch_norm
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=bias)
        self.bn1 = norm2d(channels, batch_norm)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.bn2 = norm2d(channels, batch_norm)
        self.skip: nn.Module = nn.Identity()
        self.bn_skip: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.skip = nn.Conv2d(in_channels, channels, 1, stride=stride, bias=bias)
            self.bn_skip = norm2d(channels, batch_norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps ``(N, in_channels, H, W)`` to ``(N, channels, H / stride, W / stride)``."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.bn_skip(self.skip(x)))


class ResNet20(nn.Module):
    """Nine blocks of 16, 32 and 64 channels (He et al., 2016, section 4.2).

    The two skips that change shape are 1x1 projections (option B), so that the network consists of
    convolutions and additions alone: 272,474 parameters. The paper's CIFAR runs use zero-padded
    skips instead (option A), which have no weights: 269,722 parameters.

    Parameters
    ----------
    in_channels, classes, size
        Channels of the images; length of the output. Any ``size`` works: the last pooling is global.
    batch_norm
        The original normalises after every convolution; without it they have biases instead.
    """

    def __init__(self, in_channels: int = 3, classes: int = 10, size: int = 32, batch_norm: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=not batch_norm)
        self.bn1 = norm2d(16, batch_norm)
        self.block1 = Block(16, 16, 1, batch_norm)
        self.block2 = Block(16, 16, 1, batch_norm)
        self.block3 = Block(16, 16, 1, batch_norm)
        self.block4 = Block(16, 32, 2, batch_norm)
        self.block5 = Block(32, 32, 1, batch_norm)
        self.block6 = Block(32, 32, 1, batch_norm)
        self.block7 = Block(32, 64, 2, batch_norm)
        self.block8 = Block(64, 64, 1, batch_norm)
        self.block9 = Block(64, 64, 1, batch_norm)
        self.fc1 = nn.Linear(64, classes)
        he_init(self)
        if not batch_norm:  # start every block as its skip: nine unnormalised blocks would explode
            for block in (m for m in self.modules() if isinstance(m, Block)):
                nn.init.zeros_(block.conv2.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.block3(self.block2(self.block1(x)))
        x = self.block6(self.block5(self.block4(x)))
        x = self.block9(self.block8(self.block7(x)))
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.fc1(x)
