import logging

import numpy as np
import pytest

from horner.data import catalog, load
from horner.errors import DataError


@pytest.fixture
def folder(mnist, cifar10, cifar100, tmp_path, monkeypatch):
    """A data folder with small sets in their official forms, which the catalogue takes for the official ones."""
    for small in (mnist, cifar10, cifar100):
        small.write(tmp_path / "data", (lambda name: f"{name}.gz") if small is mnist else (lambda name: name))
        monkeypatch.setitem(catalog.SETS, small.official.name, small.official)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "shape", "train", "test"),
    [("mnist", (1, 28, 28), 100, 40), ("cifar-10", (3, 32, 32), 100, 20), ("cifar-100", (3, 32, 32), 120, 100)],
)
def test_a_set_has_its_shape_classes_and_splits(folder, name, shape, train, test):
    data = load(name, folder)
    assert data.name == name
    assert data.shape == shape
    assert (len(data.train), len(data.validation), len(data.test)) == (train - train // 10, train // 10, test)
    assert len(data.classes) == len(np.unique(data.test.labels)) == (100 if name == "cifar-100" else 10)
    assert (data.source, data.complete) == (f"data folder {folder}", True)
    assert isinstance(data.mean, int)
    assert 0 < data.mean < 255
    assert 0 < data.std < 128


def test_the_arrays_may_be_handed_to_torch_as_they_are(folder):
    import torch

    data = load("mnist", folder, validation=0)
    for split in (data.train, data.test):
        assert split.images.flags.c_contiguous
        assert torch.from_numpy(split.images).shape == split.images.shape  # warns of a read-only array


def test_all_training_images_are_there_without_a_validation_split(folder, mnist):
    data = load("mnist", folder, validation=0)
    assert len(data.validation) == 0
    assert data.train.images.tobytes() == mnist.files["train-images-idx3-ubyte"][16:]
    assert data.train.labels.tolist() == list(mnist.files["train-labels-idx1-ubyte"][8:])


def test_the_split_follows_the_seed_and_the_fraction(folder):
    same = [load("mnist", folder, validation=0.3, seed=seed).validation for seed in (4, 4, 5)]
    assert len(same[0]) == 30
    assert np.array_equal(same[0].images, same[1].images)
    assert not np.array_equal(same[0].images, same[2].images)


def test_malformed_content_is_named_by_its_path(folder):
    path = folder / "cifar-10" / "cifar-10-batches-bin" / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=f"{path}: 61455 bytes, not a whole number of 3073-byte records"):
        load("cifar-10", folder)


def test_without_a_listener_notices_go_to_the_log(monkeypatch, caplog):
    monkeypatch.setenv("HORNER_OFFLINE", "1")
    with caplog.at_level(logging.WARNING, "horner.data"):
        data = load("mnist")
    assert (data.source, data.complete) == ("embedded subset", False)
    assert (len(data.train), len(data.validation), len(data.test)) == (5400, 600, 1500)
    assert "SUBSET" in caplog.text


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(
        DataError, match=r"'minst'; did you mean mnist\? \(there are mnist, .*, cifar-100 and folder:PATH\)"
    ):
        load("minst")


def test_size_and_channels_are_for_folders_only(folder):
    with pytest.raises(DataError, match="apply to folder:PATH"):
        load("mnist", folder, channels=3)
