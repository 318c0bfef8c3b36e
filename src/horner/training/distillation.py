"""Learning from a teacher's opinions as well as from labels."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def distillation_loss(
    logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    weight: float,
    temperature: float,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Mix the cross entropy to the labels with the divergence from the teacher (Hinton et al., 2015).

    ``(1 - weight) CE(labels) + weight T^2 KL(softmax(teacher / T) || softmax(student / T))``, in nats, the mean
    over the batch. ``T^2`` keeps the two gradients of one size whatever the temperature.

    Parameters
    ----------
    logits, teacher_logits
        ``(N, classes)``.
    labels
        ``(N,)``, int64.
    weight, temperature, label_smoothing
        The teacher's share, from 0 to 1; ``T``; and what the label's part is smoothed by.

    >>> same = torch.tensor([[1.0, -2.0]])
    >>> float(distillation_loss(same, same, torch.tensor([0]), weight=1.0, temperature=4.0))
    0.0
    """
    soft = F.kl_div(
        F.log_softmax(logits / temperature, 1),
        F.log_softmax(teacher_logits / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
    hard = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    return (1 - weight) * hard + weight * temperature**2 * soft
