"""Bits go where they matter."""

import copy

import torch
from digits import digits
from torch.nn import functional as F

from benchmarks.sensitivity import Choice, choices, spend
from horner import models
from horner.approximation import approximate_, fit_, fold_
from horner.pipeline import calibration_images


def test_what_helps_most_per_bit_comes_first():
    found = {
        "a": [Choice("1bit", 5.0, 10), Choice("2bit", 4.0, 20), Choice("3bit", 0.0, 30)],
        "b": [Choice("1bit", 1.0, 10), Choice("2bit", 0.9, 20)],
    }
    assert spend(found, 20) == "a: 1bit; b: 1bit"
    assert spend(found, 40) == "a: 3bit; b: 1bit", "the small gain of one more bit does not hide the large one of two"
    assert spend(found, 50) == "a: 3bit; b: 2bit"
    assert spend(found, 1000) == "a: 3bit; b: 2bit"


def test_choices_tell_what_a_layer_alone_does_to_the_output():
    data = digits(train=64, validation=32, test=32)
    dense = models.build("lenet5", seed=0).eval()
    images = calibration_images(data, 40)
    found = choices(dense, ["ranked=linear/4bit", "ranked=linear/1bit"], images, images)
    assert list(found) == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    for name, (small, large) in found.items():
        assert (small.rule, large.rule) == ("ranked=linear/1bit", "ranked=linear/4bit")
        assert small.divergence > large.divergence > 0
        assert small.bits <= dense.get_submodule(name).weight.numel() < large.bits
    model = approximate_(copy.deepcopy(dense), "fc2: ranked=linear/1bit")
    fit_(model, images, dense, sequential=False)
    with torch.no_grad():
        given, wanted = (F.log_softmax(m(images).double(), 1) for m in (fold_(model), dense))
    divergence = F.kl_div(given, wanted, log_target=True, reduction="batchmean")
    torch.testing.assert_close(
        torch.tensor(found["fc2"][0].divergence, dtype=torch.float64), divergence, rtol=1e-3, atol=1e-6
    )
