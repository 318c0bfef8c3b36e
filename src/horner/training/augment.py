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
        ``crop-flip``: shift by up to 4 and mirror half of them; ``crop-flip-cutout``: that, and hide a rectangle; or
        ``crop-flip-cutmix``: all of it but `cutmix`, which mixes labels too. What enters from beyond the border, and
        what is hidden, is 0.

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


def cutmix(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Paste a rectangle of the next image, of any size and anywhere, into about half of them (Yun et al., 2019).

    Parameters
    ----------
    images
        ``(N, C, H, W)``; not changed. After the last comes the first.

    Returns
    -------
    torch.Tensor, torch.Tensor
        Images of the same shape and type, and which part of each is the next one's, ``(N,)``, from 0 to 1.

    >>> _ = torch.manual_seed(1)
    >>> mixed, parts = cutmix(torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)]))
    >>> bool((mixed.mean((1, 2, 3)) == torch.stack([parts[0], 1 - parts[1]])).all())
    True
    """
    count, _, height, width = images.shape

    def drawn() -> torch.Tensor:
        return torch.rand(count, 1, device=images.device)

    side = drawn().sqrt() * (drawn() < 0.5)  # of 1; its square, the part, is then uniform

    def inside(length: int) -> torch.Tensor:
        pasted = (side * length).round()
        return _span((drawn() * (length - pasted + 1)).floor(), pasted, length)

    foreign = (inside(height)[:, :, None] & inside(width)[:, None, :])[:, None]
    return torch.where(foreign, images.roll(-1, 0), images), foreign.float().mean((1, 2, 3))


def mixed_labels(labels: torch.Tensor, parts: torch.Tensor, classes: int) -> torch.Tensor:
    """Return what `cutmix` made of labels ``(N,)``: probabilities ``(N, classes)``, float32.

    >>> mixed_labels(torch.tensor([2, 0]), torch.tensor([0.25, 0.0]), 3)
    tensor([[0.2500, 0.0000, 0.7500],
            [1.0000, 0.0000, 0.0000]])
    """
    own = F.one_hot(labels, classes).float()
    return torch.lerp(own, own.roll(-1, 0), parts[:, None])


def cutout(images: torch.Tensor) -> torch.Tensor:
    """Hide a rectangle of every image, a quarter of its height and width, anywhere within it (DeVries et al., 2017).

    ``(N, C, H, W)`` to the same shape and type; what is hidden is 0 in all channels.

    >>> cutout(torch.ones(1, 1, 8, 8, dtype=torch.uint8)).sum()  # 2x2 of 8x8 are hidden
    tensor(60)
    """

    def hidden(side: int) -> torch.Tensor:
        length = round(side * HIDDEN)
        return _span(torch.randint(side - length + 1, (len(images), 1), device=images.device), length, side)

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


def _span(first: torch.Tensor, length: torch.Tensor | int, side: int) -> torch.Tensor:
    """Return which of ``side`` places lie in a span, bool ``(N, side)``, from first places ``(N, 1)`` and lengths."""
    places = torch.arange(side, device=first.device)
    return (places >= first) & (places < first + length)
