import re

import pytest

from horner.data import NAMES, catalog
from horner.data.catalog import SETS
from horner.errors import DataError


def test_the_names_are_the_four_published_sets():
    assert NAMES == ("mnist", "fashion-mnist", "cifar-10", "cifar-100")


@pytest.mark.parametrize("official", SETS.values(), ids=NAMES)
def test_an_entry_is_complete(official):
    assert len(set(official.classes)) == len(official.classes) == (100 if official.name == "cifar-100" else 10)
    assert all(home.startswith("https://") and home.endswith("/") for home in official.homes)
    pins = [file.sha256 for file in official.files]
    pins += [kept.sha256 for kept in (official.archive, official.npm) if kept is not None]
    assert all(re.fullmatch("[0-9a-f]{64}", pin) for pin in pins)
    assert len(set(pins)) == len(pins)


@pytest.mark.parametrize("official", SETS.values(), ids=NAMES)
def test_the_files_have_the_sizes_that_the_sets_have(official):
    pixels = official.shape[0] * official.shape[1] * official.shape[2]
    train, labels, headers = {
        "mnist": (60_000, 1, 24),
        "fashion-mnist": (60_000, 1, 24),
        "cifar-10": (50_000, 1, 0),
        "cifar-100": (50_000, 2, 0),
    }[official.name]
    for files, images in ((official.train, train), (official.test, 10_000)):
        assert sum(file.size for file in files) == headers + images * (pixels + labels)


def test_a_missing_or_another_file_is_named(mnist):
    official = mnist.official
    assert official.verify(mnist.files | {"readme": b""}, "it") == mnist.files
    first = official.files[0].name
    with pytest.raises(DataError, match=f"it lacks {first}"):
        official.verify({name: data for name, data in mnist.files.items() if name != first}, "it")
    with pytest.raises(DataError, match=f"it, {first}: the SHA-256 is"):
        official.verify(mnist.files | {first: mnist.files[first][:-1] + b"\xff"}, "it")


def test_an_archive_is_opened_only_if_it_is_the_pinned_one(cifar10):
    with pytest.raises(DataError, match=r"it: 4 bytes instead of \d+"):
        cifar10.official.unpack(b"evil", "it")


def test_the_idx_sets_name_their_files_as_their_authors_do():
    names = [file.name for file in catalog.FASHION_MNIST.files]
    assert names == [file.name for file in catalog.MNIST.files]
    assert names == [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ]
