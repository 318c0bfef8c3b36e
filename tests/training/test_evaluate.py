import numpy as np
import pytest
import torch
from torch import nn

from horner.errors import DataError
from horner.training import evaluate, predict


class Brightest(nn.Module):
    """Answers with the column that is brightest, but only in evaluation mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return x[:, 0].sum(1)


class Columns:
    images = np.zeros((10, 1, 2, 4), np.uint8)
    labels = np.arange(10) % 4


for i in range(10):
    Columns.images[i, 0, :, (i + (i == 3)) % 4] = 200  # image 3 is the one mistaken


def test_accuracy_is_in_percent_whatever_the_batches():
    for batch_size in (1, 3, 10, 100):
        assert evaluate(Brightest(), Columns, 5, 50.0, batch_size=batch_size) == 90.0


def test_logits_are_those_of_normalised_pixels():
    logits = predict(Brightest(), Columns.images, 20, 10.0, batch_size=3)
    assert logits.dtype == np.float32
    assert logits.shape == (10, 4)
    np.testing.assert_allclose(logits[1], [-4, 36, -4, -4])


def test_every_module_returns_to_its_former_mode():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 4)).train()
    model[1].eval()
    evaluate(model, Columns, 0, 1.0)
    assert [m.training for m in model] == [True, False, True, True]
    assert torch.equal(model[1].running_mean, torch.zeros(8))


def test_no_images_is_an_error():
    class Empty:
        images = np.zeros((0, 1, 2, 4), np.uint8)
        labels = np.zeros(0, np.int64)

    with pytest.raises(DataError, match="no images"):
        evaluate(Brightest(), Empty, 0, 1.0)
    with pytest.raises(DataError, match="no images"):
        predict(Brightest(), Empty.images, 0, 1.0)
