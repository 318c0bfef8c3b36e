import numpy as np
import pytest
from PIL import Image

from horner.data import load
from horner.data.folder import read
from horner.errors import DataError


def paint(path, fill, size=(6, 4), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, fill).save(path)


@pytest.fixture
def divided(tmp_path):
    """cat and dog, 4 training and 2 test images each; a picture's grey is its class's."""
    for part, count in (("train", 4), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            for i in range(count):
                paint(tmp_path / "set" / part / name / f"{i}.png", 100 * label + i)
    return tmp_path / "set"


@pytest.fixture
def whole(tmp_path):
    """Ten classes called 0 to 9 and one called 10, ten images each, no division."""
    for label in range(11):
        for i in range(10):
            paint(tmp_path / "set" / str(label) / f"{i}.png", 20 * label + i)
    return tmp_path / "set"


def test_a_divided_folder_keeps_its_division(divided):
    data = load(f"folder:{divided}", validation=2)
    assert data.classes == ("cat", "dog")
    assert data.shape == (1, 4, 6)
    assert (len(data.train), len(data.validation), len(data.test)) == (6, 2, 4)
    assert sorted(data.test.images[:, 0, 0, 0]) == [0, 1, 100, 101]
    for split in (data.train, data.validation, data.test):
        assert np.array_equal(split.images[:, 0, 0, 0] // 100, split.labels)
    assert (data.source, data.complete) == (f"folder {divided}", True)


def test_an_undivided_folder_gives_a_fifth_of_each_class_to_the_test(whole):
    classes, train, test = read(whole, None, None)
    assert classes == tuple(map(str, range(11)))  # by number: 10 after 9
    assert np.bincount(train.labels).tolist() == [8] * 11
    assert np.bincount(test.labels).tolist() == [2] * 11
    seen = np.concatenate([train.images, test.images])[:, 0, 0, 0]
    assert len(set(seen.tolist())) == 110
    assert np.array_equal(train.images[:, 0, 0, 0] // 20, train.labels)


def test_the_test_images_are_the_same_for_every_seed(whole):
    first, second = (load(f"folder:{whole}", seed=seed) for seed in (0, 1))
    assert np.array_equal(first.test.images, second.test.images)
    assert not np.array_equal(first.validation.images, second.validation.images)


def test_the_first_images_of_a_split_are_of_mixed_classes(whole):
    assert len(set(load(f"folder:{whole}").train.take(20).labels)) > 4


def test_the_first_image_sets_mode_and_size(divided):
    paint(divided / "train" / "dog" / "odd.jpg", (9, 9, 9), (60, 40), "RGB")
    assert load(f"folder:{divided}").shape == (1, 4, 6)
    paint(divided / "train" / "cat" / "+first.png", (9, 9, 9), (8, 8), "RGB")
    assert load(f"folder:{divided}").shape == (3, 8, 8)


def test_mode_and_size_may_be_chosen(divided):
    data = load(f"folder:{divided}", size=(5, 7), channels=3)
    assert data.shape == (3, 5, 7)
    assert np.array_equal(data.test.images[:, 0, 0, 0] // 100, data.test.labels)


def test_what_is_no_picture_by_its_name_is_passed_over(divided):
    (divided / "train" / "cat" / "notes.txt").write_text("hello")
    (divided / "train" / "cat" / ".hidden.png").write_text("hello")
    (divided / "train" / ".git").mkdir()
    assert len(load(f"folder:{divided}", validation=0).train) == 8


def test_a_damaged_picture_is_named(divided):
    path = divided / "test" / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=f"{path}: "):
        load(f"folder:{divided}")


def test_a_test_class_that_is_never_trained_is_named(divided):
    paint(divided / "test" / "mouse" / "0.png", 0)
    with pytest.raises(DataError, match="the class mouse has no folder in"):
        load(f"folder:{divided}")


def test_a_class_may_be_absent_from_the_test(divided):
    paint(divided / "train" / "mouse" / "0.png", 200)
    data = load(f"folder:{divided}", validation=0)
    assert data.classes == ("cat", "dog", "mouse")
    assert set(data.test.labels) == {0, 1}


def test_an_empty_class_is_named(divided):
    (divided / "train" / "ant").mkdir()
    with pytest.raises(DataError, match="ant: no image in this class folder"):
        load(f"folder:{divided}")


def test_what_is_no_set_of_classes_is_explained(tmp_path):
    with pytest.raises(DataError, match=f"folder {tmp_path / 'no'} does not exist"):
        load(f"folder:{tmp_path / 'no'}")
    paint(tmp_path / "one" / "only" / "0.png", 0)
    with pytest.raises(
        DataError, match=r"1 class folders; .* PATH/train/CLASS/\* and PATH/test/CLASS/\* or as PATH/CLASS/\*"
    ):
        load(f"folder:{tmp_path / 'one'}")
    with pytest.raises(DataError, match=r"0.png is not a folder"):
        load(f"folder:{tmp_path / 'one' / 'only' / '0.png'}")


def test_too_few_images_to_divide_are_told(tmp_path):
    for name in "ab":
        paint(tmp_path / "few" / name / "0.png", 0)
    with pytest.raises(DataError, match="no image for the test split"):
        load(f"folder:{tmp_path / 'few'}")


@pytest.mark.parametrize(("option", "message"), [({"channels": 2}, "channels=2"), ({"size": (0, 5)}, "size=")])
def test_impossible_choices_are_refused(divided, option, message):
    with pytest.raises(DataError, match=message):
        load(f"folder:{divided}", **option)


def test_a_set_that_would_not_fit_into_memory_is_refused_before_it_is_read(divided):
    with pytest.raises(DataError, match="12 images of 3x90000x90000 would take 272 GiB"):
        load(f"folder:{divided}", size=(90_000, 90_000), channels=3)
