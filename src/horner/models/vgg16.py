"""VGG-16 for 32x32 images."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from horner.models._layers import he_init, norm2d, positions

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(nn.Module):
    """The 13 convolutions of VGG-16 (Simonyan & Zisserman, 2015) and one classifier.

    Five poolings leave a single position at 32x32, so the CIFAR literature replaces the two layers
    of 4,096 by nothing and normalises every convolution: 14,724,042 parameters, or 14,719,818 without
    batch normalisation (14,714,688 of them in the convolutions). Layers are named ``conv1_1`` to
    ``conv5_3`` as in the original.

    Parameters
    ----------
    in_channels, classes, size
        Channels and side of the square images; length of the output.
    batch_norm
        Normalise after every convolution, which then has no bias.
    """

    def __init__(self, in_channels: int = 3, classes: int = 10, size: int = 32, batch_norm: bool = True) -> None:
        super().__init__()
        side = positions("vgg16", size, *[(2, 2, 0)] * len(STAGES))
        before = in_channels
        for stage, widths in enumerate(STAGES, 1):
            for place, width in enumerate(widths, 1):
                self.add_module(f"conv{stage}_{place}", nn.Conv2d(before, width, 3, padding=1, bias=not batch_norm))
                self.add_module(f"bn{stage}_{place}", norm2d(width, batch_norm))
                before = width
        self.fc1 = nn.Linear(before * side * side, classes)
        he_init(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, classes)``."""
        for stage, widths in enumerate(STAGES, 1):
            for place in range(1, len(widths) + 1):
                x = self.get_submodule(f"conv{stage}_{place}")(x)
                x = F.relu(self.get_submodule(f"bn{stage}_{place}")(x))
            x = F.max_pool2d(x, 2)
        return self.fc1(x.flatten(1))
