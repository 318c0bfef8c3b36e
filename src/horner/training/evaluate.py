"""What a model answers, and how often it is right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import nn

from horner.errors import DataError
from horner.training.batches import as_tensor, normalise


class Split(Protocol):
    """Images ``(N, C, H, W)`` uint8 and labels ``(N,)`` int64, as NumPy arrays or tensors."""

    @property
    def images(self) -> np.ndarray | torch.Tensor: ...  # noqa: D102

    @property
    def labels(self) -> np.ndarray | torch.Tensor: ...  # noqa: D102


def evaluate(
    model: nn.Module,
    split: Split,
    mean: float,
    std: float,
    *,
    batch_size: int = 256,
    device: torch.device | str | None = None,
) -> float:
    """Return the share of the split's images that the model puts in their class, in percent.

    Parameters
    ----------
    model
        Run in evaluation mode and float32; left in the mode it was in.
    split
        uint8 images ``(N, C, H, W)`` and int64 labels ``(N,)``.
    mean, std
        Pixels enter as ``(pixel - mean) / std``.
    batch_size
        Images at a time; the result does not depend on it beyond rounding.
    device
        Where to run; the model is moved there. ``None`` is where it is.

    Raises
    ------
    DataError
        When the split is empty.
    """
    if len(split.labels) == 0:
        raise DataError("the split has no images; accuracy is undefined")
    if device is not None:
        model.to(device)
    labels = as_tensor(split.labels)
    return 100.0 * count_correct(model, as_tensor(split.images), labels, mean, std, batch_size) / len(labels)


def count_correct(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, mean: float, std: float, batch_size: int = 256
) -> int:
    """Return the number of images that the model puts in their class."""
    device = device_of(model)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    with evaluating(model):
        for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            logits = model(normalise(x.to(device), mean, std))
            correct += (logits.argmax(1) == y.to(device)).sum()
    return int(correct)


def predict(
    model: nn.Module,
    images: np.ndarray | torch.Tensor,
    mean: float,
    std: float,
    *,
    batch_size: int = 256,
    device: torch.device | str | None = None,
) -> np.ndarray:
    """Return the model's logits for uint8 images ``(N, C, H, W)``: float32 ``(N, classes)``."""
    if device is not None:
        model.to(device)
    return all_logits(model, as_tensor(images), mean, std, batch_size).cpu().numpy()


def all_logits(model: nn.Module, images: torch.Tensor, mean: float, std: float, batch_size: int = 256) -> torch.Tensor:
    """Return the model's logits for all images, on its device."""
    if len(images) == 0:
        raise DataError("there are no images to predict")
    device = device_of(model)
    with evaluating(model):
        return torch.cat([model(normalise(x.to(device), mean, std)).float() for x in images.split(batch_size)])


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a model in evaluation mode without gradients, and put each of its modules back in its former mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def device_of(model: nn.Module) -> torch.device:
    """Return where a model's parameters are."""
    tensor = next(model.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device
