import numpy as np
import pytest
import torch
from digits import digits
from torch import nn

from horner import to_program
from horner.errors import DataError
from horner.evaluation import accuracy, expect_fit, runner


def test_accuracy_counts_the_first_of_equal_outputs():
    outputs = np.array([[3, 3], [1, 2], [2, 1], [0, 5]])
    assert accuracy(outputs, np.array([0, 1, 1, 1])) == 75.0
    assert accuracy(outputs.reshape(4, 2, 1, 1), np.array([1, 1, 1, 1])) == 50.0


def test_accuracy_of_no_images_is_refused():
    with pytest.raises(DataError, match="no images"):
        accuracy(np.zeros((0, 10)), np.zeros(0, np.int64))


def test_every_backend_gives_the_same_outputs():
    data = digits()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 10))
    normalised = (torch.from_numpy(data.train.images[:100]).float() - data.mean) / data.std
    program = to_program(model, normalised, plan="0: out=linear col=linear", pixels=(data.mean, data.std))
    expected = runner(program, "reference")(data.test.images)
    assert expected.shape == (200, 10)
    for backend in ("dense", "c"):
        assert np.array_equal(runner(program, backend)(data.test.images), expected)


def test_a_data_set_of_other_images_or_classes_is_refused_by_name():
    data = digits()
    expect_fit("m.horner", (1, 28, 28), 10, data)
    with pytest.raises(DataError, match=r"^m\.horner reads images of 3x32x32 .*, those of digits are 1x28x28$"):
        expect_fit("m.horner", (3, 32, 32), 10, data)
    with pytest.raises(DataError, match=r"^m\.horner tells 100 classes apart, digits has 10$"):
        expect_fit("m.horner", (1, 28, 28), 100, data)
