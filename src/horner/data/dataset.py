"""What a data set is once it is in memory, and how its validation split is cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from horner.errors import DataError


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    Attributes
    ----------
    images : numpy.ndarray
        uint8, (N, C, H, W), C-contiguous and writable.
    labels : numpy.ndarray
        int64, (N,).

    Raises
    ------
    DataError
        When the arrays have other types or shapes, or differ in length.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise DataError(f"images must be uint8 (N, C, H, W), not {self.images.dtype} {self.images.shape}")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                f"{len(self.images)} images need int64 labels of shape ({len(self.images)},), "
                f"not {self.labels.dtype} {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, count: int) -> Split:
        """Return the first ``count`` images and labels (all, when there are fewer), without copying.

        Examples
        --------
        >>> import numpy as np
        >>> split = Split(np.zeros((5, 1, 2, 2), np.uint8), np.arange(5))
        >>> split.take(3).labels
        array([0, 1, 2])
        """
        if count < 0:
            raise DataError(f"cannot take {count} images; ask for 0 or more")
        return Split(self.images[:count], self.labels[:count])

    def select(self, indices: np.ndarray) -> Split:
        """Return a copy of the images and labels at ``indices``."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set, cut into training, validation and test images.

    Attributes
    ----------
    name : str
        As it was asked for.
    classes : tuple of str
        The name of each label.
    train, validation, test : Split
        The validation images are cut from the official training images; the test images are the official
        ones, whatever the seed and the size of the validation split.
    mean : int
        The training images' mean pixel, rounded, one for all channels: with a whole mean the network's
        int8 input is simply ``pixel - 128`` and its zero point ``mean - 128``, with nothing lost.
    std : float
        The training images' standard deviation in pixel units, one for all channels.
    source : str
        Where the images came from.
    complete : bool
        Whether these are all the images of the set, verified; a result on a set that is not complete is not
        a result on the set.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    mean: int
    std: float
    source: str
    complete: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


def assemble(
    name: str,
    classes: tuple[str, ...],
    train: Split,
    test: Split,
    *,
    validation: float | int | None,
    seed: int,
    source: str,
    complete: bool,
) -> DataSet:
    """Cut the validation split from ``train``, measure what remains and put the set together."""
    held = stratified(train.labels, validation_count(len(train), validation), seed)
    kept = np.setdiff1d(np.arange(len(train)), held, assume_unique=True)
    rest = train.select(kept) if len(held) else train
    mean, std = pixel_statistics(rest.images)
    return DataSet(name, classes, rest, train.select(held), test, mean, std, source, complete)


def validation_count(available: int, asked: float | int | None) -> int:
    """How many of ``available`` training images to hold out: a count, a fraction, or the usual number."""
    if asked is None:
        return 5000 if available >= 50_000 else available // 10
    if isinstance(asked, bool) or not np.isfinite(asked):
        raise DataError(f"validation={asked!r}: give a whole number of images, or a fraction between 0 and 1")
    if isinstance(asked, float) and not 0 <= asked < 1:
        raise DataError(
            f"validation={asked}: a fraction lies between 0 and 1; for a number of images write {asked:.0f}"
        )
    count = int(asked) if isinstance(asked, int) else round(asked * available)
    if not 0 <= count < available:
        raise DataError(
            f"validation={asked}: {count} of {available} training images; at least one must be left to train on"
        )
    return count


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw ``count`` indices so that each class keeps its share to within one image.

    Returns
    -------
    numpy.ndarray
        Ascending indices into ``labels``.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.repeat([0, 1], [60, 30])
    >>> np.bincount(labels[stratified(labels, 9, seed=0)])
    array([6, 3])
    """
    if not count:
        return np.empty(0, np.int64)
    _, sizes = np.unique(labels, return_counts=True)
    quota, remainder = np.divmod(sizes * count, len(labels))
    quota[np.argsort(-remainder, kind="stable")[: count - quota.sum()]] += 1
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    rank_in_class = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(by_class[rank_in_class < np.repeat(quota, sizes)])


def pixel_statistics(images: np.ndarray) -> tuple[int, float]:
    """Rounded mean and exact standard deviation of all pixels; the deviation of a flat set counts as 1."""
    histogram = np.zeros(256, np.int64)
    flat = images.reshape(-1)
    for start in range(0, flat.size, 1 << 22):  # in pieces: bincount widens its input eightfold
        histogram += np.bincount(flat[start : start + (1 << 22)], minlength=256)
    values = np.arange(256)
    mean = float(histogram @ values) / flat.size
    variance = float(histogram @ (values - mean) ** 2) / flat.size
    return round(mean), variance**0.5 or 1.0
