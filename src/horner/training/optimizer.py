"""From a model to an optimiser, with a step size for every group of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from horner.errors import TrainingError
from horner.training.config import TrainConfig
from horner.training.muon import Muon

VECTORS = 0.1
"""Adam's step for vectors, as a part of Muon's for matrices."""

ParameterGroups = Callable[[nn.Module], list[dict[str, Any]]]


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Sort a model's trained parameters into groups: the default of ``train``.

    Parameters of two or more axes (weights, coefficient cores) decay; biases and the scales of
    normalisations do not. A parameter with an attribute ``lr_scale`` has its step size multiplied by it.

    Returns
    -------
    list of dict
        ``params``, ``lr`` (a multiple of the run's step size), and for those without decay ``weight_decay`` 0.
        A function of the user's own returns the same; either key may be left out.

    >>> groups = parameter_groups(nn.Linear(3, 2))
    >>> [(len(group["params"]), group["lr"], group.get("weight_decay")) for group in groups]
    [(1, 1.0, None), (1, 1.0, 0.0)]
    """
    sorted_: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            key = (parameter.ndim >= 2, float(getattr(parameter, "lr_scale", 1.0)))
            sorted_.setdefault(key, []).append(parameter)
    return [
        {"params": params, "lr": scale} | ({} if decays else {"weight_decay": 0.0})
        for (decays, scale), params in sorted_.items()
    ]


def relative_matrices(model: nn.Module) -> list[dict[str, Any]]:
    """Sort a model's trained parameters for Muon: a matrix's step in proportion to its own size.

    Weights of layers without a bias, which stand before a normalisation, keep their norm. Biases and the scales of
    normalisations take Adam's steps, a tenth as long.

    >>> model = nn.Linear(4, 1, bias=False)
    >>> _ = nn.init.constant_(model.weight, 0.5)
    >>> [(group["lr"], group["keep_norm"]) for group in relative_matrices(model)]
    [(0.5, True)]
    """
    before_norm = {id(m.weight) for m in model.modules() if hasattr(m, "weight") and getattr(m, "bias", 0) is None}
    groups: list[dict[str, Any]] = []
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            rms = float(parameter.detach().double().square().mean().sqrt())
            groups.append({"params": [parameter], "lr": rms or 1.0, "keep_norm": id(parameter) in before_norm})
        else:
            groups.append({"params": [parameter], "lr": VECTORS})
    return groups


def make_optimizer(
    model: nn.Module,
    config: TrainConfig,
    groups: ParameterGroups | None = None,
    former: torch.optim.Optimizer | None = None,
) -> torch.optim.Optimizer:
    """Make the optimiser; parameters that ``former`` already trained keep their moments.

    Raises
    ------
    TrainingError
        When there is nothing to train, or a group is malformed.
    """
    made: list[dict[str, Any]] = []
    default = relative_matrices if config.optimizer == "muon" else parameter_groups
    for group in (groups or default)(model):
        if not isinstance(group, dict) or "params" not in group:
            raise TrainingError("parameter_groups returns a list of dicts with the key 'params'")
        if params := [p for p in _listed(group["params"]) if p.requires_grad]:
            made.append({**group, "params": params, "lr": config.lr, "lr_scale": float(group.get("lr", 1.0))})
    if not made:
        raise TrainingError(f"{type(model).__name__} has no parameters to train")
    try:
        if config.optimizer == "muon":
            optimizer: torch.optim.Optimizer = Muon(made, config.lr)
        elif config.optimizer == "adamw":
            optimizer = torch.optim.AdamW(made, config.lr, weight_decay=config.weight_decay, fused=True)
        else:
            optimizer = torch.optim.SGD(
                made,
                config.lr,
                momentum=config.momentum,
                nesterov=config.momentum > 0,
                weight_decay=config.weight_decay,
                fused=True,
            )
    except (ValueError, TypeError) as error:
        raise TrainingError(f"the parameter groups cannot be used: {error}") from error
    if former is not None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter in former.state:
                    optimizer.state[parameter] = former.state[parameter]
    return optimizer


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set every group's step size to its own multiple of ``lr``."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def _listed(params: torch.Tensor | Iterable[torch.Tensor]) -> list[torch.Tensor]:
    return [params] if isinstance(params, torch.Tensor) else list(params)
