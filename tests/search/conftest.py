import pytest
import torch
from digits import digits
from search_worker import SPEC
from tiny import network

from horner import models
from horner.data import DataSet
from horner.training import TrainConfig, train
from horner.workflow import Trained, dense_info


@pytest.fixture(scope="session")
def data() -> DataSet:
    return digits(train=400, validation=100, test=100)


@pytest.fixture(scope="session")
def dense_file(data, tmp_path_factory):
    """A network that has learned a little, as `horner train` leaves it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network()
    settings = TrainConfig(epochs=6, batch_size=32, device="cpu", lr=1e-2)
    result = train(model, data, settings, progress=False)
    assert result.accuracy > 60
    file = tmp_path_factory.mktemp("dense") / "tiny.safetensors"
    models.save(file, model, dense_info(SPEC, data, None, result.accuracy))
    return file


@pytest.fixture
def trained(dense_file) -> Trained:
    return models.load(dense_file, spec=SPEC)
