"""Bits where they matter: how much each layer's approximation alone changes the network's output, and what it takes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from horner.approximation import approximate_, approximated, fit_, originals
from horner.approximation.ranked import RankedWeight
from horner.plan import weighted


@dataclass(frozen=True)
class Choice:
    """A layer under one of the rules: what that does to the output alone, and the entropy of its levels in bits."""

    rule: str
    divergence: float
    bits: float


Choices = dict[str, list[Choice]]
"""By layer, from few bits to many."""


@torch.no_grad()
def choices(dense: nn.Module, rules: Sequence[str], calibration: Tensor, images: Tensor) -> Choices:
    """Try every rule on every layer alone; no labels are looked at.

    Parameters
    ----------
    calibration
        What levels and curves are fitted to.
    images
        What the divergence (Kullback-Leibler, of the dense network's opinion) is measured on.
    """
    wanted = F.log_softmax(dense(images).double(), 1)
    found: Choices = {name: [] for name in weighted(dense)}
    for rule in rules:
        model = approximate_(copy.deepcopy(dense), rule)
        fit_(model, calibration, dense, sequential=False)
        for name, (module, form) in approximated(model).items():
            assert isinstance(form, RankedWeight)
            alone = copy.deepcopy(dense)
            layer = weighted(alone)[name]
            layer.weight.copy_(module.weight)
            if layer.bias is not None and module.bias is not None:
                layer.bias.copy_(module.bias)
            given = F.log_softmax(alone(images).double(), 1)
            divergence = float(F.kl_div(given, wanted, log_target=True, reduction="batchmean"))
            found[name].append(Choice(rule, divergence, _entropy(form.levels(*originals(module)))))
    return {name: sorted(of_layer, key=lambda choice: choice.bits) for name, of_layer in found.items()}


def spend(found: Choices, bits: float) -> str:
    """Return the plan that takes about so many bits: from the fewest on, the change that helps most per bit is next."""
    now = {name: of_layer[0] for name, of_layer in found.items()}
    while sum(choice.bits for choice in now.values()) < bits:
        changes = [
            ((now[name].divergence - better.divergence) / (better.bits - now[name].bits), name, better)
            for name, of_layer in found.items()
            for better in of_layer
            if better.bits > now[name].bits
        ]
        if not changes:
            break
        _, name, better = max(changes, key=lambda change: change[0])
        now[name] = better
    return "; ".join(f"{name}: {choice.rule}" for name, choice in now.items())


def _entropy(levels: Tensor) -> float:
    counts = np.bincount(levels.numpy().ravel())
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / counts.sum())).sum())
