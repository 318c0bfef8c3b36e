"""Augmentation of whole batches of uint8 images, on the device they are on."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from horner.training.config import Augmentation


def augment(images: torch.Tensor, kind: Augmentation) -> torch.Tensor:
    """Draw a variant of every image from the device's default generator.

    Parameters
    ----------
    images
        ``(N, C, H, W)``, uint8; not changed.
    kind
        ``none``; ``shift`` by up to 2 pixels any way; or ``crop-flip``: shift by up to 4 and mirror half of them.
        What enters from beyond the border is 0.

    >>> augment(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "crop-flip").shape
    torch.Size([2, 3, 32, 32])
    """
    if kind == "none":
        return images
    if kind == "shift":
        return shift(images, 2)
    flipped = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    images = shift(images, 4)
    return torch.where(flipped, images.flip(3), images)


def shift(images: torch.Tensor, reach: int) -> torch.Tensor:
    """Move every image by its own whole number of pixels, at most ``reach`` any way."""
    count, _, height, width = images.shape
    windows = F.pad(images, (reach,) * 4).unfold(2, height, 1).unfold(3, width, 1)  # N, C, row, col, H, W: a view
    row, col = torch.randint(2 * reach + 1, (2, count), device=images.device)
    every = torch.arange(count, device=images.device)
    return windows.transpose(1, 2).transpose(2, 3)[every, row, col]
