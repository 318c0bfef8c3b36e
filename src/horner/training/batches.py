"""Which images make up a step, and how pixels become numbers. Positions in a run, not state, decide what is random."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def seed_of(seed: int, *position: object) -> int:
    """Return 63 well mixed bits for a position in a run, the same on every machine.

    >>> seed_of(0, 1, 2) == seed_of(0, 1, 2) != seed_of(0, 2, 1)
    True
    """
    text = "/".join(map(str, (seed, *position)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's default generators of the CPU and of ``device``; cheap enough for every step."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)


def epoch_order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """Return the order in which an epoch visits ``count`` images."""
    generator = torch.Generator().manual_seed(seed_of(seed, "order", epoch))
    return torch.randperm(count, generator=generator)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return the number of steps that visit ``count`` images once.

    >>> steps_per_epoch(129, 128)
    2
    """
    return -(-count // batch_size)


def step_range(step: int, steps: int, count: int) -> slice:
    """Return the places in an epoch's order that ``step`` takes; all steps are of one size, give or take one image.

    So no image is dropped and no step is left with a single one, which batch normalisation could not use.

    >>> [step_range(step, 3, 10) for step in range(3)]
    [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    return slice(step * count // steps, (step + 1) * count // steps)


def normalise(images: torch.Tensor, mean: float, std: float, channels_last: bool = False) -> torch.Tensor:
    """Turn uint8 pixels ``(N, C, H, W)`` into float32 ``(pixel - mean) / std``.

    >>> normalise(torch.tensor([[[[33, 112]]]], dtype=torch.uint8), 33, 79).tolist()
    [[[[0.0, 1.0]]]]
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return images.to(torch.float32, memory_format=layout).sub_(mean).div_(std)


def as_tensor(array: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Return a tensor of the array's values, sharing its memory unless that is read-only."""
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        array = array.copy()
    return torch.as_tensor(array)
