import torch
from torch.nn import functional as F

from horner.training import distillation_loss

G = torch.Generator().manual_seed(0)
STUDENT, TEACHER = torch.randn(6, 4, generator=G), torch.randn(6, 4, generator=G)
LABELS = torch.randint(4, (6,), generator=G)


def test_without_weight_it_is_cross_entropy():
    loss = distillation_loss(STUDENT, TEACHER, LABELS, weight=0.0, temperature=3.0, label_smoothing=0.1)
    torch.testing.assert_close(loss, F.cross_entropy(STUDENT, LABELS, label_smoothing=0.1))


def test_the_teacher_part_is_the_divergence_written_out():
    p, q = torch.softmax(TEACHER / 3, 1), torch.softmax(STUDENT / 3, 1)
    want = 9 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(distillation_loss(STUDENT, TEACHER, LABELS, weight=1.0, temperature=3.0), want)


def test_the_parts_are_mixed():
    def at(weight: float) -> torch.Tensor:
        return distillation_loss(STUDENT, TEACHER, LABELS, weight=weight, temperature=2.0)

    torch.testing.assert_close(at(0.25), 0.75 * at(0.0) + 0.25 * at(1.0))


def test_at_high_temperature_the_gradient_is_that_of_matched_logits():
    student = STUDENT.clone().requires_grad_()
    distillation_loss(student, TEACHER, LABELS, weight=1.0, temperature=1e3).backward()
    difference = STUDENT - TEACHER
    want = (difference - difference.mean(1, keepdim=True)) / 4 / 6  # Hinton et al., 2015, equation 4
    torch.testing.assert_close(student.grad, want, atol=1e-3, rtol=1e-2)
