"""Settings that work, by what is trained."""

from __future__ import annotations

from horner.errors import TrainingError
from horner.training.config import TrainConfig

GREY = TrainConfig(epochs=10, batch_size=128, lr=2e-3, weight_decay=1e-2, augmentation="none")
"""28x28 grey images and a LeNet: MNIST, Fashion-MNIST."""

COLOUR = TrainConfig(
    epochs=30,
    batch_size=128,
    lr=0.02,
    optimizer="muon",
    schedule="cosine",
    warmup=0.15,
    augmentation="crop-flip",
)
"""32x32 colour images and a network with batch normalisation: CIFAR-10."""

COLOUR_PLAIN = TrainConfig(
    epochs=30, batch_size=128, lr=1e-3, weight_decay=5e-2, augmentation="crop-flip", clip_norm=1.0
)
"""32x32 colour images and a deep network without batch normalisation, whose weights' sizes matter."""


def recipe(shape: tuple[int, int, int], *, batch_norm: bool) -> TrainConfig:
    """Return the settings for images of that shape (channels, height, width).

    >>> recipe((3, 32, 32), batch_norm=True).optimizer
    'muon'
    """
    if len(shape) != 3:
        raise TrainingError(f"an image's shape is (channels, height, width), not {shape}")
    if shape[0] == 1:
        return GREY
    return COLOUR if batch_norm else COLOUR_PLAIN
