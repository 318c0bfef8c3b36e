from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horner.data import embedded, idx
from horner.errors import DataError


@pytest.fixture(scope="module")
def splits():
    files = list(embedded.files().items())
    return idx.read(files[:2], (1, 28, 28), 10), idx.read(files[2:], (1, 28, 28), 10)


def test_it_holds_as_many_images_of_each_digit(splits):
    train, test = splits
    assert np.bincount(train.labels).tolist() == [600] * 10
    assert np.bincount(test.labels).tolist() == [150] * 10


def test_it_looks_like_mnist(splits):
    train, test = splits
    for split in (train, test):
        assert split.images.mean() == pytest.approx(33.5, abs=1)  # MNIST: 33.3 training, 33.8 test
        assert split.images.std() == pytest.approx(78.9, abs=1)  # 78.6, 79.2


def test_no_image_occurs_twice(splits):
    assert len({image.tobytes() for split in splits for image in split.images}) == 7500


def test_its_labels_are_right(splits):
    """The nearest class mean gets 82 % of MNIST's test set right; labels out of step would give 10 %."""
    train, test = splits
    means = np.stack([train.images[train.labels == digit].mean(0).ravel() for digit in range(10)])
    distances = ((test.images.reshape(-1, 1, 784) - means) ** 2).sum(-1)
    assert (distances.argmin(1) == test.labels).mean() > 0.78


def test_it_takes_less_than_a_megabyte_of_the_wheel():
    sizes = [len(resources.files(embedded).joinpath(name).read_bytes()) for name in ("inked.bz2", "ink.xz")]
    assert sum(sizes) < 1_000_000


@given(st.integers(1, 3), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_unpack_undoes_pack(tens, seed, density):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (10 * tens, 28, 28), np.uint8) * (rng.random((10 * tens, 28, 28)) < density)
    images = images.astype(np.uint8)
    assert np.array_equal(embedded.unpack(embedded.pack(images), 10 * tens), images)


@pytest.mark.parametrize(
    "damage",
    [
        {"inked.bz2": b"damaged"},
        {"ink.xz": b"damaged"},
        {"ink.xz": b""},
        {"inked.bz2": b""},
        embedded.pack(np.full((10, 28, 28), 9, np.uint8)),
        {"inked.bz2": embedded.pack(np.zeros((20, 28, 28), np.uint8))["inked.bz2"]},
        {"inked.bz2": embedded.pack(np.ones((30, 28, 28), np.uint8))["inked.bz2"]},
    ],
)
def test_a_damaged_installation_is_a_data_error(damage):
    good = embedded.pack(np.ones((20, 28, 28), np.uint8))
    assert embedded.unpack(good, 20).all()
    with pytest.raises(DataError, match="install horner again"):
        embedded.unpack(good | damage, 20)


def test_other_pixels_than_the_pinned_ones_are_a_data_error(monkeypatch):
    monkeypatch.setattr(embedded, "SHA256", "0" * 64)
    with pytest.raises(DataError, match="not what it should be"):
        embedded.files()
