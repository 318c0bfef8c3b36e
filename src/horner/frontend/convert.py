"""From a PyTorch model to a program, in one call."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from horner.approximation.api import layer_plans
from horner.errors import ModelError
from horner.frontend.capture import capture
from horner.frontend.freeze import freeze
from horner.frontend.lower import lower
from horner.frontend.network import QuantisedNetwork
from horner.plan import Plan
from horner.program.program import Program


def quantised(
    model: nn.Module,
    images: torch.Tensor | np.ndarray,
    plan: Plan | str | None = None,
    pixels: tuple[float, float] | None = None,
    integer: bool = True,
) -> QuantisedNetwork:
    """Return the calibrated, trainable network of a model: what quantisation-aware training trains.

    Parameters
    ----------
    model
        As written by its author; approximated or not. It is not changed.
    images
        Some hundred real images as the model takes them, ``(n, channels, rows, columns)``.
    plan
        Bits, bias and scale of each layer; by default those the model was approximated with.
    pixels
        (mean, std) in units of a pixel if the images are ``(pixel - mean) / std``: the program then reads pixels.
    integer
        False for a network that will be frozen to float32: it takes bits=32, and batch norms are folded exactly.

    Raises
    ------
    ModelError
        Naming the operation and module that cannot be taken, or what is wrong with the images.
    """
    images = torch.as_tensor(np.asarray(images) if not isinstance(images, torch.Tensor) else images)
    if images.dtype == torch.uint8:
        if pixels is None:
            raise ModelError("calibration images are uint8; normalise them as for training, and say how with pixels=")
        images = (images.float() - pixels[0]) / pixels[1]
    if images.ndim == 3:
        images = images[None]
    images = images.float()
    network = lower(model, capture(model, images), layer_plans(model, plan), integer)
    return network.to(images.device).eval().calibrate(images, pixels)


def to_program(
    model: nn.Module,
    calibration_images: torch.Tensor | np.ndarray,
    *,
    plan: Plan | str | None = None,
    integer: bool = True,
    pixels: tuple[float, float] | None = None,
) -> Program:
    """Return the program of a model: batch norm folded, coefficients and activations quantised, or float32.

    Parameters
    ----------
    model
        Any classifier of the operations Horner knows, approximated or not; or a `QuantisedNetwork`.
    calibration_images
        Some hundred real images as the model takes them, ``(n, channels, rows, columns)``.
    plan
        Bits, bias and scale of each layer; by default those the model was approximated with.
    integer
        int8 activations and integer coefficients, or float32.
    pixels
        (mean, std) in units of a pixel if the images are ``(pixel - mean) / std``: the program then reads pixels.

    Raises
    ------
    ModelError
        Naming the operation and module that cannot be taken.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 10))
    >>> to_program(model, torch.rand(8, 1, 8, 8)).names
    ('conv1', 'linear1')
    """
    if isinstance(model, QuantisedNetwork):
        return freeze(model, integer)
    return freeze(quantised(model, calibration_images, plan, pixels, integer), integer)
