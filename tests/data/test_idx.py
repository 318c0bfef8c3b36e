import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from horner.data import idx
from horner.errors import DataError

small = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))


def pair(images, labels):
    return [("images", idx.dumps(images)), ("labels", idx.dumps(np.asarray(labels, np.uint8)))]


@given(small)
def test_what_is_written_reads_back(values):
    assert np.array_equal(idx.loads(idx.dumps(values), values.ndim), values)


@given(st.binary(max_size=40), st.integers(1, 3))
def test_arbitrary_bytes_are_an_array_or_a_data_error(data, axes):
    try:
        values = idx.loads(data, axes)
    except DataError:
        return
    assert idx.dumps(values) == data


@given(small, st.data())
def test_a_changed_header_byte_is_a_data_error(values, data):
    whole = bytearray(idx.dumps(values))
    at = data.draw(st.integers(0, 3 + 4 * values.ndim))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        read = idx.loads(bytes(whole), values.ndim)
    except DataError:
        return
    assert read.size == values.size == 0  # the one ambiguity: other shapes of an empty array


@given(small, st.integers(1, 8), st.booleans())
def test_missing_and_extra_bytes_are_data_errors(values, count, extra):
    whole = idx.dumps(values)
    with pytest.raises(DataError, match="bytes"):
        idx.loads(whole + bytes(count) if extra else whole[:-count], values.ndim)


def test_a_header_that_announces_the_moon_allocates_nothing():
    with pytest.raises(DataError, match="4294967295x4294967295x4294967295"):
        idx.loads(bytes((0, 0, 8, 3)) + b"\xff" * 12, axes=3)


def test_a_pair_becomes_a_writable_split():
    split = idx.read(pair(np.arange(12, dtype=np.uint8).reshape(3, 2, 2), [2, 0, 1]), (1, 2, 2), 3)
    assert split.images.shape == (3, 1, 2, 2)
    assert split.images.flags.writeable
    assert split.labels.tolist() == [2, 0, 1]
    assert split.images[1, 0].tolist() == [[4, 5], [6, 7]]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 2, 2), np.uint8), [0, 1, 1], "images holds 2 images, labels 3 labels"),
        (np.zeros((2, 2, 3), np.uint8), [0, 1], "images: images of 2x3 pixels, not 2x2"),
        (np.zeros((2, 2, 2), np.uint8), [0, 3], r"labels: label 3 of a set with 3 classes \(0 to 2\)"),
        (np.zeros((0, 2, 2), np.uint8), [], "images: holds no image"),
        (np.zeros((2, 2), np.uint8), [0, 1], "images: .* not 00 00 08 03"),
    ],
)
def test_what_does_not_fit_is_named(images, labels, message):
    with pytest.raises(DataError, match=message):
        idx.read(pair(images, labels), (1, 2, 2), 3)
