"""A class-balanced subset of MNIST that travels with the wheel, for a first run without a network.

``tools/make_embedded_mnist.py`` draws and writes it; README.md beside this file names the authors and the licence.
Two files hold the images: which pixels have ink (a bit each, bzip2) and how much (a byte for each such pixel, xz);
that takes a fifth less than gzip on the plain bytes. The labels need no file: image ``i`` of a split shows the
digit ``i % 10``.
"""

from __future__ import annotations

import bz2
import lzma
from importlib import resources

import numpy as np

from horner.data import archive, idx
from horner.errors import DataError

TRAIN, TEST = 6_000, 1_500
SHA256 = "04ac5a95e3670a88bd9a870fdeaa67193a9839f243c335385edcecbc71abac31"
"""Of all pixels, training images first."""


def pack(images: np.ndarray) -> dict[str, bytes]:
    """Return the two files' contents for images whose count is a multiple of ten, in order 0, 1, ..., 9, 0, 1, ..."""
    stored = np.ascontiguousarray(images.reshape(-1, 10, 28 * 28).swapaxes(0, 1))  # alike with alike compresses better
    filters = [
        {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 21, "lc": 4, "lp": 0, "pb": 0}
    ]
    return {
        "inked.bz2": bz2.compress(np.packbits(stored > 0).tobytes()),
        "ink.xz": lzma.compress(stored[stored > 0].tobytes(), filters=filters),
    }


def unpack(files: dict[str, bytes], count: int) -> np.ndarray:
    """Return the uint8 (count, 28, 28) images that `pack` was given.

    Raises
    ------
    DataError
        When the files are damaged.
    """
    try:
        bits = np.frombuffer(bz2.decompress(files["inked.bz2"]), np.uint8)
        ink = np.frombuffer(lzma.decompress(files["ink.xz"]), np.uint8)
        stored = np.zeros((10, count // 10, 28 * 28), np.uint8)
        stored[np.unpackbits(bits).astype(bool).reshape(stored.shape)] = ink
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise DataError(f"the embedded MNIST subset is damaged ({error}); install horner again") from error
    return np.ascontiguousarray(stored.swapaxes(0, 1)).reshape(count, 28, 28)


def files() -> dict[str, bytes]:
    """Return the subset as four IDX files under MNIST's official names.

    Raises
    ------
    DataError
        When the installed files are missing or damaged.
    """
    here = resources.files(__name__)
    try:
        packed = {name: here.joinpath(name).read_bytes() for name in ("inked.bz2", "ink.xz")}
    except OSError as error:
        raise DataError(f"the embedded MNIST subset is missing ({error}); install horner again") from error
    images = unpack(packed, TRAIN + TEST)
    if archive.sha256(images.tobytes()) != SHA256:
        raise DataError("the embedded MNIST subset is not what it should be; install horner again")
    labels = (np.arange(TRAIN + TEST) % 10).astype(np.uint8)
    return {
        "train-images-idx3-ubyte": idx.dumps(images[:TRAIN]),
        "train-labels-idx1-ubyte": idx.dumps(labels[:TRAIN]),
        "t10k-images-idx3-ubyte": idx.dumps(images[TRAIN:]),
        "t10k-labels-idx1-ubyte": idx.dumps(labels[TRAIN:]),
    }
