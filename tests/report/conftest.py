"""A small network, approximated, and its program."""

import copy

import pytest
import torch
from torch import nn

from horner.approximation import approximate_
from horner.frontend.convert import to_program


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 9, 10)
    )


@pytest.fixture(scope="session")
def dense():
    torch.manual_seed(0)
    return network().eval()


@pytest.fixture(scope="session")
def positional(dense):
    return approximate_(copy.deepcopy(dense), "0: row=quadratic col=linear; 5: in=linear/4 map=3x3")


@pytest.fixture(scope="session")
def program(positional):
    return to_program(positional, torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
