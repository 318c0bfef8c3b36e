import pytest
import torch
from torch import nn
from torch.nn import functional as F

from horner.approximation.maps import feature_maps
from horner.errors import ModelError
from horner.models import build


class Pooled(nn.Module):
    """Ends in a mean over the map, a dropout between flatten and head, and a head on the image itself."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Linear(2 * 6 * 4, 3)
        self.conv = nn.Conv2d(2, 8, 3)
        self.flat = nn.Linear(8 * 4 * 2, 5)
        self.mean = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.pixels(x.flatten(1))
        y = F.relu(self.conv(x))
        flat = self.flat(F.dropout(y.reshape(len(y), -1), training=self.training))
        return torch.cat([first, flat, self.mean(F.relu(self.conv(x)).mean((2, 3)))], 1)


def test_the_map_before_each_linear_layer():
    assert feature_maps(build("lenet5"), torch.zeros(1, 1, 28, 28)) == {"fc1": (5, 5), "fc2": (1, 1), "fc3": (1, 1)}
    maps = feature_maps(Pooled(), torch.zeros(2, 2, 6, 4))
    assert maps == {"pixels": (6, 4), "flat": (4, 2), "mean": (1, 1)}


def test_the_model_is_left_as_it_was():
    model = build("lenet5", batch_norm=True).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    feature_maps(model, torch.randn(2, 1, 28, 28))
    assert model.training
    assert model.bn1.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.fc1._forward_pre_hooks


def test_an_example_of_the_wrong_shape_is_an_error():
    with pytest.raises(ModelError, match=r"does not run on the example of shape \(1, 3, 28, 28\)"):
        feature_maps(build("lenet5"), torch.zeros(1, 3, 28, 28))
