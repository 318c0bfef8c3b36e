"""Plans that a search starts from: what is known to work on a network, and what is worth a try on any."""

from __future__ import annotations

from torch import nn

from horner import presets
from horner.errors import PlanError
from horner.plan import Plan
from horner.search.space import Candidate

GENERAL = ("dense", "in=linear/4 bias=linear/8", "ranked=linear/4bit", "ranked=linear/3level zero", "afsc afmc bits=6")
"""From the safest to the boldest."""


def known(spec: str, model: nn.Module) -> list[Candidate]:
    """Return what the presets make of a network; those that do not fit its layers (of another size, say) left out.

    >>> from horner.models import build
    >>> bool(known("lenet5", build("lenet5"))), known("mine:net", build("lenet5"))
    (True, [])
    """
    found: dict[str, Candidate] = {}
    for preset in map(presets.get, presets.names()):
        plan, how = Plan.parse(preset.plan), preset.retraining
        try:
            plan.match(model)
        except PlanError:
            continue
        if preset.model == spec:
            found.setdefault(str(plan), Candidate(plan, how.arrange, how.fit, how.distill))
    return list(found.values())


def general() -> list[Candidate]:
    """Return what fits every network."""
    return [Candidate(Plan.parse(text)) for text in GENERAL]
