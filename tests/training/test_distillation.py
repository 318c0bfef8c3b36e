import torch
from digits import digits
from torch import nn
from torch.nn import functional as F

from horner.models import build
from horner.training import Panel, TrainConfig, distillation_loss, train

G = torch.Generator().manual_seed(0)
STUDENT, TEACHER = torch.randn(6, 4, generator=G), torch.randn(6, 4, generator=G)
LABELS = torch.randint(4, (6,), generator=G)


def test_without_weight_it_is_cross_entropy():
    loss = distillation_loss(STUDENT, TEACHER, LABELS, weight=0.0, temperature=3.0, label_smoothing=0.1)
    torch.testing.assert_close(loss, F.cross_entropy(STUDENT, LABELS, label_smoothing=0.1))


def test_labels_may_be_probabilities():
    settings = {"weight": 0.3, "temperature": 3.0, "label_smoothing": 0.1}
    certain = F.one_hot(LABELS, 4).float()
    want = distillation_loss(STUDENT, TEACHER, LABELS, **settings)
    torch.testing.assert_close(distillation_loss(STUDENT, TEACHER, certain, **settings), want)


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


class Says(nn.Module):
    """A teacher of one opinion, whatever it sees; counts how often it is asked."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)
        self.asked = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.asked += 1
        return self.logits[: len(images)]


def test_teachers_one_at_a_time_give_in_the_mean_the_gradient_of_their_mean_opinion():
    other = torch.randn(6, 4, generator=G)
    panel = Panel([Says(TEACHER), Says(other)], temperature=3.0)

    def gradient(said: torch.Tensor) -> torch.Tensor:
        student = STUDENT.clone().requires_grad_()
        distillation_loss(student, said, LABELS, weight=0.7, temperature=3.0).backward()
        return student.grad

    torch.testing.assert_close((gradient(TEACHER) + gradient(other)) / 2, gradient(panel(STUDENT)))


def test_training_asks_one_teacher_a_step_and_in_time_each():
    data = digits(train=512, validation=64, test=64)
    teachers = [Says(torch.randn(32, 10, generator=G)) for _ in range(3)]
    config = TrainConfig(epochs=2, batch_size=32, device="cpu", distill_weight=0.5, augmentation="shift")
    train(build("lenet5", seed=0), data, config, teacher=Panel(teachers, 4.0), progress=False)
    asked = [teacher.asked for teacher in teachers]
    assert sum(asked) == 2 * 16
    assert min(asked) > 3


def test_images_that_never_change_are_shown_to_all_teachers_once():
    data = digits(train=256, validation=64, test=64)
    teachers = [Says(torch.randn(256, 10, generator=G)) for _ in range(2)]
    config = TrainConfig(epochs=2, batch_size=32, device="cpu", distill_weight=0.5)
    train(build("lenet5", seed=0), data, config, teacher=Panel(teachers, 4.0), progress=False)
    assert [teacher.asked for teacher in teachers] == [1, 1]
