import dataclasses

import networks
import numpy as np
import pytest
import torch
from digits import digits

from horner import zoo
from horner.approximation import approximate_
from horner.backends import reference
from horner.frontend.convert import to_program
from horner.frontend.teacher import Teacher
from horner.frontend.thaw import thaw
from horner.program.file import load


@pytest.mark.parametrize("name", networks.FOREIGN)
def test_a_teacher_says_what_its_program_does_but_for_roundings_and_is_not_trained(name):
    model, images = networks.foreign(name), networks.images(16)
    approximate_(model, networks.MIXED[name], example=images)
    program = to_program(model, images)
    teacher = Teacher(program)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    outputs = program.logits(reference.run(program, program.quantise(images.numpy())))
    for mode in (True, False):
        said = teacher.train(mode)(images).detach().numpy()
        assert np.abs(said - outputs).mean() < program.output_scale


def test_under_autocast_a_teacher_is_quick_and_a_student_exact():
    model, images = networks.foreign("bottleneck"), networks.images(16)
    program = to_program(model, images)
    teacher, student = Teacher(program), thaw(program)
    said, known = teacher(images), student(images)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        quick, exact = teacher(images).float(), student(images)
    assert torch.equal(exact, known)
    assert not torch.equal(quick, said)
    assert (quick - said).abs().mean() < 4 * program.output_scale


def test_images_are_taken_as_the_student_reads_them():
    data, program = digits(), load(zoo.find("zoo:lenet5"))
    pixels = torch.from_numpy(data.test.images).float()
    student = dataclasses.replace(program.input, zero_point=3, scale=0.5)
    said = Teacher(program, student)((pixels - 131) * 0.5).numpy()
    outputs = program.logits(reference.run(program, data.test.images)).reshape(said.shape)
    assert (np.abs(said - outputs) < 0.5 * program.output_scale).mean() > 0.99


def test_a_loud_teacher_is_brought_to_the_spread_of_another_and_keeps_its_order():
    images = networks.images(64)
    first = Teacher(to_program(networks.foreign("bottleneck"), images))
    loud = networks.foreign("densenet")
    with torch.no_grad():
        loud.classifier.weight *= 7
        loud.classifier.bias *= 7
    teacher = Teacher(to_program(loud, images))
    before = teacher(images)
    after = teacher.match_spread(first, images)(images)

    def spread(logits: torch.Tensor) -> float:
        return float((logits - logits.mean(1, keepdim=True)).std())

    assert spread(after) == pytest.approx(spread(first(images)), rel=0.06)
    assert torch.equal(after.argmax(1), before.argmax(1))


def test_a_teacher_of_equal_logits_has_no_spread_to_match_or_be_brought_to():
    images = networks.images(8)
    program = to_program(networks.foreign("bottleneck"), images)
    silent, other = Teacher(program), Teacher(program)
    silent.logit_scale.zero_()
    assert silent.match_spread(other, images).logit_scale == 0
    assert other.match_spread(silent, images).logit_scale == 1
