import io
import json

import numpy as np
import pytest
from PIL import Image

from horner.data import cifar
from horner.errors import DataError

SHAPE = (3, 32, 32)


def record(labels, fill):
    return bytes(labels) + bytes([fill]) * 1024 + bytes([fill + 1]) * 1024 + bytes([fill + 2]) * 1024


def test_batches_are_joined_in_order_with_planes_red_green_blue():
    split = cifar.read([("a", record([3], 10) + record([1], 20)), ("b", record([0], 30))], SHAPE, 10)
    assert split.labels.tolist() == [3, 1, 0]
    assert split.images.shape == (3, 3, 32, 32)
    assert split.images[:, :, 31, 31].tolist() == [[10, 11, 12], [20, 21, 22], [30, 31, 32]]
    assert split.images.flags.writeable


def test_rows_follow_each_other_within_a_plane():
    pixels = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    split = cifar.read([("a", b"\x04" + pixels.tobytes())], SHAPE, 10)
    assert np.array_equal(split.images[0], pixels)


def test_of_two_label_bytes_the_fine_one_counts():
    assert cifar.read([("a", record([19, 99], 0))], SHAPE, 100, label_bytes=2).labels.tolist() == [99]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a.bin: 0 bytes, not a whole number of 3073-byte records"),
        (record([1], 0)[:-1], "a.bin: 3072 bytes, not a whole number"),
        (record([10], 0), r"a.bin: label 10 of a set with 10 classes \(0 to 9\)"),
    ],
)
def test_a_malformed_batch_is_named(data, message):
    with pytest.raises(DataError, match=message):
        cifar.read([("a.bin", data)], SHAPE, 10)


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


@pytest.fixture(scope="module")
def package():
    """The npm package's form: one row of 1024 RGB pixels an image, 10,000 rows a batch."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.integers(0, 256, (100, 1024, 3), np.uint8), 100, axis=0)
    labels = rng.integers(0, 10, 60_000)
    members = {f"data_batch_{i}.png": png(np.roll(rows, i, axis=0)) for i in range(1, 6)}
    members["test_batch.png"] = png(rows)
    members["train_lables.json"] = json.dumps(labels[:50_000].tolist()).encode()
    members["test_lables.json"] = json.dumps(labels[50_000:].tolist()).encode()
    return members, rows, labels


def test_mosaics_become_the_official_batches(package):
    members, rows, labels = package
    files = cifar.from_mosaics(members)
    assert list(files) == [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    for i in (2, 5):
        split = cifar.read([("batch", files[f"data_batch_{i}.bin"])], SHAPE, 10)
        assert np.array_equal(split.images.reshape(-1, 3, 1024), np.roll(rows, i, axis=0).transpose(0, 2, 1))
        assert np.array_equal(split.labels, labels[(i - 1) * 10_000 : i * 10_000])
    test = cifar.read([("batch", files["test_batch.bin"])], SHAPE, 10)
    assert np.array_equal(test.labels, labels[50_000:])


@pytest.mark.parametrize(
    ("member", "data"),
    [
        ("data_batch_1.png", b"no picture"),
        ("data_batch_1.png", png(np.zeros((10, 1024, 3), np.uint8))),
        ("data_batch_1.png", png(np.zeros((10_000, 1024), np.uint8))),
        ("train_lables.json", b"{"),
        ("train_lables.json", b"[1, 2, 3]"),
        ("test_lables.json", b"[-1]"),
    ],
)
def test_another_package_content_is_a_data_error(package, member, data):
    with pytest.raises(DataError):
        cifar.from_mosaics(package[0] | {member: data})
