"""The step size as a function of the position in a run, so that resuming needs no state."""

from __future__ import annotations

import math

from horner.training.config import Schedule


def lr_factor(schedule: Schedule, step: int, steps: int, warmup: float) -> float:
    """Return what the highest step size is multiplied by at ``step`` of ``steps``, from 0 to 1.

    >>> [round(lr_factor("cosine", step, 8, 0.25), 3) for step in range(8)]
    [0.333, 0.667, 1.0, 0.933, 0.75, 0.5, 0.25, 0.067]
    """
    up = round(warmup * steps)
    if step < up:
        start = 1 / 25 if schedule == "one-cycle" else 1 / (up + 1)
        return start + (1 - start) * step / up
    done = (step - up) / (steps - up)
    if schedule == "one-cycle":
        return 1 - done * (1 - 1e-3)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 1.0
