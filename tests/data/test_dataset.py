import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horner.data.dataset import Split, assemble, pixel_statistics, stratified, validation_count
from horner.errors import DataError

labels_and_count = st.lists(st.integers(0, 5), min_size=1, max_size=60).flatmap(
    lambda labels: st.tuples(st.just(np.array(labels)), st.integers(0, len(labels)))
)


def numbered(count, classes=3):
    """A split whose image i is filled with the number i."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 1, 2, 2)).copy()
    return Split(images, np.arange(count) % classes)


def parts(validation, seed=0, count=60):
    return assemble(
        "n", ("a", "b", "c"), numbered(count), numbered(6), validation=validation, seed=seed, source="s", complete=True
    )


@given(labels_and_count, st.integers(0, 99))
def test_a_stratified_draw_keeps_each_share_to_within_one(case, seed):
    labels, count = case
    drawn = stratified(labels, count, seed)
    assert len(drawn) == count == len(np.unique(drawn))
    assert np.array_equal(drawn, np.sort(drawn))
    for label, size in zip(*np.unique(labels, return_counts=True), strict=True):
        share = size * count / len(labels)
        assert math.floor(share) <= (labels[drawn] == label).sum() <= math.ceil(share)


def test_the_draw_depends_on_the_seed_and_on_nothing_else():
    labels = np.arange(200) % 4
    assert np.array_equal(stratified(labels, 40, 1), stratified(labels, 40, 1))
    assert not np.array_equal(stratified(labels, 40, 1), stratified(labels, 40, 2))


def test_training_and_validation_share_nothing_and_lose_nothing():
    for seed in range(3):
        data = parts(18, seed)
        train, held = set(data.train.images[:, 0, 0, 0]), set(data.validation.images[:, 0, 0, 0])
        assert not train & held
        assert train | held == set(range(60))
        assert np.bincount(data.validation.labels).tolist() == [6, 6, 6]
        for split in (data.train, data.validation):
            assert np.array_equal(split.images[:, 0, 0, 0] % 3, split.labels)


@pytest.mark.parametrize("validation", [0, 18, 0.5, None])
def test_the_test_split_is_never_touched(validation):
    assert np.array_equal(parts(validation).test.images, numbered(6).images)


@pytest.mark.parametrize(
    ("available", "asked", "count"),
    [
        (60_000, None, 5000),
        (50_000, None, 5000),
        (6000, None, 600),
        (100, 0, 0),
        (100, 0.0, 0),
        (100, 0.25, 25),
        (100, 99, 99),
    ],
)
def test_how_many_images_are_held_out(available, asked, count):
    assert validation_count(available, asked) == count


@pytest.mark.parametrize("asked", [-1, 100, 101, -0.1, 1.0, 5000.0, float("nan"), float("inf"), True])
def test_an_impossible_validation_split_is_refused(asked):
    with pytest.raises(DataError, match="validation="):
        validation_count(100, asked)


def test_a_fraction_that_takes_every_image_is_refused():
    with pytest.raises(DataError, match="1 of 1 training images"):
        validation_count(1, 0.9)


@given(st.lists(st.integers(0, 255), min_size=1, max_size=50))
def test_statistics_are_those_of_the_pixels(pixels):
    images = np.array(pixels, np.uint8).reshape(-1, 1, 1, 1)
    mean, std = pixel_statistics(images)
    assert type(mean) is int
    assert abs(mean - np.mean(pixels)) <= 0.5 + 1e-9
    assert std == pytest.approx(np.std(pixels) if len(set(pixels)) > 1 else 1.0)


def test_statistics_of_a_big_set_are_taken_piece_by_piece():
    images = np.random.default_rng(0).integers(0, 200, (3000, 3, 32, 32), np.uint8)  # more than two pieces
    mean, std = pixel_statistics(images)
    assert mean == round(images.mean())
    assert std == pytest.approx(images.std())


def test_statistics_are_of_the_training_images_alone():
    data = parts(18)
    assert (data.mean, data.std) == pixel_statistics(data.train.images)
    assert data.shape == (1, 2, 2)


def test_take_keeps_the_order_and_stops_at_the_end():
    split = numbered(5)
    assert split.take(2).images[:, 0, 0, 0].tolist() == [0, 1]
    assert len(split.take(9)) == 5
    assert len(split.take(0)) == 0
    assert np.shares_memory(split.take(2).images, split.images)
    with pytest.raises(DataError, match="cannot take -1"):
        split.take(-1)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 1, 2, 2), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 2, 2), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 1, 2, 2), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((2, 1, 2, 2), np.uint8), np.zeros(2, np.uint8)),
    ],
)
def test_arrays_of_another_form_are_refused(images, labels):
    with pytest.raises(DataError, match=r"uint8|int64"):
        Split(images, labels)
