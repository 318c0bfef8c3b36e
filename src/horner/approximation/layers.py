"""The approximated layers of a model, and what they train."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from horner.approximation.positional import PositionalWeight
from horner.approximation.ranked import RankedWeight
from horner.plan import weighted

Form = PositionalWeight | RankedWeight


def approximated(model: nn.Module) -> dict[str, tuple[nn.Conv2d | nn.Linear, Form]]:
    """Return the approximated layers of a model, with their parametrizations, by name."""
    found: dict[str, tuple[nn.Conv2d | nn.Linear, Form]] = {}
    for name, module in weighted(model).items():
        if parametrize.is_parametrized(module, "weight"):
            chain = module.parametrizations["weight"]  # type: ignore[index]
            if len(chain) == 1 and isinstance(chain[0], PositionalWeight | RankedWeight):
                found[name] = module, chain[0]
    return found


def originals(module: nn.Module) -> tuple[nn.Parameter, ...]:
    """Return what an approximated layer trains: (theta,), or (latent, curve) of ranked weights."""
    chain: Any = module.parametrizations["weight"]  # type: ignore[index]
    return (
        (chain.original,) if chain.is_tensor else tuple(getattr(chain, f"original{i}") for i in range(chain.ntensors))
    )
