"""Learning from a teacher's opinions as well as from labels."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F


class Panel(nn.Module):
    """Several teachers, of whom training asks one at every step, drawn at random.

    The divergence from a mean of opinions and the mean of the divergences from each differ by a constant: in the mean
    over steps one teacher at a time gives the gradient of all of them together, at the price of one.

    Parameters
    ----------
    teachers
        Images ``(N, C, H, W)`` to logits ``(N, classes)``, all of the same classes.
    temperature
        At which their opinions are averaged where all are asked.

    >>> sure, unsure = nn.Identity(), nn.Threshold(99.0, 0.0)
    >>> torch.softmax(Panel([sure, unsure], 1.0)(torch.tensor([[9.0, -9.0]])), 1)
    tensor([[0.7500, 0.2500]])
    """

    def __init__(self, teachers: Iterable[nn.Module], temperature: float) -> None:
        super().__init__()
        self.teachers = nn.ModuleList(teachers)
        self.temperature = temperature

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits of the mean of all opinions."""
        opinions = torch.stack([F.log_softmax(teacher(images) / self.temperature, 1) for teacher in self.teachers])
        return self.temperature * torch.logsumexp(opinions, 0)

    def one(self) -> nn.Module:
        """Draw a teacher from torch's default generator."""
        return self.teachers[int(torch.randint(len(self.teachers), ()))]


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
        ``(N,)``, int64, or probabilities ``(N, classes)``.
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
