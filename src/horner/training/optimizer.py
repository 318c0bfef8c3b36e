"""From a model to an optimiser, with a step size for every group of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from horner.errors import TrainingError
from horner.training.config import TrainConfig

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
    for group in (groups or parameter_groups)(model):
        if not isinstance(group, dict) or "params" not in group:
            raise TrainingError("parameter_groups returns a list of dicts with the key 'params'")
        if params := [p for p in _listed(group["params"]) if p.requires_grad]:
            made.append({**group, "params": params, "lr": config.lr, "lr_scale": float(group.get("lr", 1.0))})
    if not made:
        raise TrainingError(f"{type(model).__name__} has no parameters to train")
    try:
        if config.optimizer == "adamw":
            optimizer: torch.optim.Optimizer = torch.optim.AdamW(
                made, config.lr, weight_decay=config.weight_decay, fused=True
            )
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
