"""A user's own images: one folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from horner.data.dataset import Split, stratified
from horner.data.images import MODES, open_picture, shape_of, to_array
from horner.data.progress import counting
from horner.errors import DataError

TEST_FRACTION = 5  # one image in five, where there is no test folder
SEED = 0  # of what must not depend on the seed of a training run: the test split and the order
MOST_BYTES = 1 << 34

Listing = list[tuple[Path, int]]


def read(path: Path, size: tuple[int, int] | None, channels: int | None) -> tuple[tuple[str, ...], Split, Split]:
    """Read all images below ``path``.

    Parameters
    ----------
    path : Path
        Holds ``train/CLASS/*`` and ``test/CLASS/*``, or ``CLASS/*``.
    size : (int, int), optional
        Height and width; by default those of the first image.
    channels : int, optional
        1 or 3; by default as the first image has.

    Returns
    -------
    classes, train, test
        The classes in order of their names (of their numbers, if all names are numbers), and the splits, shuffled
        by a fixed seed.

    Raises
    ------
    DataError
        When the folder is not of this form, or a file is not a usable picture; the message names it.
    """
    if channels is not None and channels not in MODES:
        raise DataError(f"channels={channels}: images have 1 (grey) or 3 (RGB)")
    if size is not None and min(size) < 1:
        raise DataError(f"size={size}: height and width are at least 1 pixel")
    if not path.is_dir():
        raise DataError(f"folder {path} {'is not a folder' if path.exists() else 'does not exist'}")
    if (path / "train").is_dir() and (path / "test").is_dir():
        classes = _classes(path / "train")
        if strange := set(_classes(path / "test")) - set(classes):
            raise DataError(f"{path / 'test'}: the class {min(strange)} has no folder in {path / 'train'}")
        train, test = _listing(path / "train", classes), _listing(path / "test", classes)
    else:
        classes = _classes(path)
        train, test = _divide(_listing(path, classes))
    for part, listing in (("train", train), ("test", test)):
        if not listing:
            raise DataError(
                f"folder {path}: no image for the {part} split; give each class at least 5, or a folder {part}/"
            )
    has = shape_of(open_picture(train[0][0]))
    shape = (channels or has[0], *(size or has[1:]))
    _check_memory(len(train) + len(test), shape, path)
    with counting(f"reading {path}") as report:
        done, total = 0, len(train) + len(test)
        splits = []
        for listing in (train, test):
            images = np.empty((len(listing), *shape), np.uint8)
            for i, (file, _) in enumerate(listing):
                images[i] = to_array(open_picture(file), shape)
                done += 1
                report(done, total)
            order = np.random.default_rng(SEED).permutation(len(listing))
            labels = np.array([label for _, label in listing], np.int64)
            splits.append(Split(images, labels).select(order))
    return classes, splits[0], splits[1]


def _classes(path: Path) -> tuple[str, ...]:
    names = [entry.name for entry in _entries(path) if entry.is_dir()]
    if len(names) < 2:
        raise DataError(
            f"{path}: {len(names)} class folders; a set needs at least two, either as PATH/train/CLASS/* and "
            f"PATH/test/CLASS/* or as PATH/CLASS/*"
        )
    return tuple(sorted(names, key=int) if all(map(str.isdecimal, names)) else names)


def _listing(path: Path, classes: tuple[str, ...]) -> Listing:
    """List the picture files of each class; what does not have the suffix of a picture is not meant."""
    known = Image.registered_extensions()
    listing = []
    for label, name in enumerate(classes):
        if (path / name).is_dir():
            files = [entry for entry in _entries(path / name) if entry.suffix.lower() in known and not entry.is_dir()]
            if not files:
                raise DataError(f"{path / name}: no image in this class folder")
            listing += [(file, label) for file in files]
    return listing


def _entries(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot read the folder {path}: {error.strerror or error}") from error


def _divide(listing: Listing) -> tuple[Listing, Listing]:
    labels = np.array([label for _, label in listing], np.int64)
    held = set(stratified(labels, len(listing) // TEST_FRACTION, SEED).tolist())
    return [item for i, item in enumerate(listing) if i not in held], [listing[i] for i in sorted(held)]


def _check_memory(count: int, shape: tuple[int, int, int], path: Path) -> None:
    if (need := count * shape[0] * shape[1] * shape[2]) > MOST_BYTES:
        raise DataError(
            f"folder {path}: {count} images of {'x'.join(map(str, shape))} would take {need / 2**30:.0f} GiB; "
            f"ask for a smaller size"
        )
