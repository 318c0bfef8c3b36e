"""Augmentation of whole batches of uint8 images, on the device they are on."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from horner.training.config import Augmentation

TURN, SCALE, SHIFT = 5.0, 0.05, 0.75
"""Degrees, parts and pixels that ``affine`` changes an image by, at most."""
HIDDEN = 0.25
"""Share of an image's height and width that ``crop-flip-cutout`` hides."""


def augment(images: torch.Tensor, kind: Augmentation) -> torch.Tensor:
    """Draw a variant of every image from the device's default generator.

    Parameters
    ----------
    images
        ``(N, C, H, W)``, uint8; not changed.
    kind
        ``none``; ``shift`` by up to 2 pixels any way; ``affine``: turn, scale, slant and shift a little;
        ``crop-flip``: shift by up to 4 and mirror half of them; or ``crop-flip-cutout``: that, and hide a rectangle.
        What enters from beyond the border, and what is hidden, is 0.

    >>> augment(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "crop-flip").shape
    torch.Size([2, 3, 32, 32])
    """
    if kind == "none":
        return images
    if kind == "shift":
        return shift(images, 2)
    if kind == "affine":
        return affine(images)
    flipped = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    images = shift(images, 4)
    images = torch.where(flipped, images.flip(3), images)
    return cutout(images) if kind == "crop-flip-cutout" else images


def cutout(images: torch.Tensor) -> torch.Tensor:
    """Hide a rectangle of every image, a quarter of its height and width, anywhere within it (DeVries et al., 2017).

    ``(N, C, H, W)`` to the same shape and type; what is hidden is 0 in all channels.

    >>> cutout(torch.ones(1, 1, 8, 8, dtype=torch.uint8)).sum()  # 2x2 of 8x8 are hidden
    tensor(60)
    """

    def hidden(side: int) -> torch.Tensor:
        length = round(side * HIDDEN)
        first = torch.randint(side - length + 1, (len(images), 1), device=images.device)
        places = torch.arange(side, device=images.device)
        return (places >= first) & (places < first + length)  # N, side

    rows, cols = hidden(images.shape[2]), hidden(images.shape[3])
    return images.masked_fill((rows[:, :, None] & cols[:, None, :])[:, None], 0)


def affine(images: torch.Tensor) -> torch.Tensor:
    """Turn every image by up to 5 degrees, scale and slant it by up to 5 %, and shift it by up to 3/4 of a pixel."""
    count, _, height, width = images.shape

    def drawn(most: float) -> torch.Tensor:
        return (torch.rand(count, device=images.device) * 2 - 1) * most

    angle, scale, slant = drawn(math.radians(TURN)), 1 + drawn(SCALE), drawn(SCALE)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    x, y = drawn(2 * SHIFT / width), drawn(2 * SHIFT / height)  # a side is 2 long
    maps = torch.stack([torch.stack([cosine, slant - sine, x], 1), torch.stack([sine, cosine, y], 1)], 1)
    places = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), places, align_corners=False).round_().to(torch.uint8)


def shift(images: torch.Tensor, reach: int) -> torch.Tensor:
    """Move every image by its own whole number of pixels, at most ``reach`` any way."""
    count, _, height, width = images.shape
    windows = F.pad(images, (reach,) * 4).unfold(2, height, 1).unfold(3, width, 1)  # N, C, row, col, H, W: a view
    row, col = torch.randint(2 * reach + 1, (2, count), device=images.device)
    every = torch.arange(count, device=images.device)
    return windows.transpose(1, 2).transpose(2, 3)[every, row, col]
