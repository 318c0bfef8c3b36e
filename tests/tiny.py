"""A network that trains in a second, for tests that train many; made by ``tiny:network``."""

from __future__ import annotations

import torch
from torch import nn


def network(classes: int = 10, batch_norm: bool = True) -> nn.Module:
    """4@5x5 with stride 2, pooling, 16, classes; on 28x28 grey images."""
    norm = [nn.BatchNorm2d(4)] if batch_norm else []
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, 2, bias=not batch_norm),
        *norm,
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(144, 16),
        nn.ReLU(),
        nn.Linear(16, classes),
    )


def image() -> torch.Tensor:
    return torch.zeros(1, 1, 28, 28)
