"""The IDX format of MNIST and Fashion-MNIST.

Two zero bytes, a type (8: unsigned byte), the number of axes, each axis as a big-endian 32-bit integer,
then the values, last axis fastest (Y. LeCun, http://yann.lecun.com/exdb/mnist/).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from horner.data.dataset import Split
from horner.errors import DataError


def loads(data: bytes, axes: int, origin: str = "IDX data") -> np.ndarray:
    r"""Parse IDX bytes.

    Parameters
    ----------
    data : bytes
        The whole file, not compressed.
    axes : int
        How many axes it must have.
    origin : str
        What an error message calls it.

    Returns
    -------
    numpy.ndarray
        uint8, a read-only view of ``data``.

    Raises
    ------
    DataError
        When a byte is not as the format wants it, or bytes are missing or left over.

    Examples
    --------
    >>> loads(b"\x00\x00\x08\x01" + b"\x00\x00\x00\x03" + b"\x05\x00\x04", axes=1)
    array([5, 0, 4], dtype=uint8)
    """
    header = 4 + 4 * axes
    if len(data) < header:
        raise DataError(f"{origin}: {len(data)} bytes, fewer than the {header} of an IDX header with {axes} axes")
    if data[:4] != bytes((0, 0, 8, axes)):
        raise DataError(
            f"{origin}: begins with the bytes {data[:4].hex(' ')}, not 00 00 08 {axes:02x} "
            f"(IDX, unsigned bytes, {axes} axes)"
        )
    shape = struct.unpack(f">{axes}I", data[4:header])
    size = math.prod(shape)
    if len(data) - header != size:
        raise DataError(
            f"{origin}: the header announces {'x'.join(map(str, shape))} = {size} bytes, {len(data) - header} follow"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def dumps(values: np.ndarray) -> bytes:
    """Return the IDX form of a uint8 array.

    Examples
    --------
    >>> import numpy as np
    >>> loads(dumps(np.eye(2, dtype=np.uint8)), axes=2)
    array([[1, 0],
           [0, 1]], dtype=uint8)
    """
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def read(files: Sequence[tuple[str, bytes]], shape: tuple[int, int, int], classes: int) -> Split:
    """Turn a pair of IDX files, images and labels, into a split.

    Raises
    ------
    DataError
        When a file is malformed or the two do not belong together.
    """
    (images_at, image_bytes), (labels_at, label_bytes) = files
    images = loads(image_bytes, 3, images_at)
    labels = loads(label_bytes, 1, labels_at)
    if images.shape[1:] != shape[1:]:
        raise DataError(
            f"{images_at}: images of {images.shape[1]}x{images.shape[2]} pixels, not {shape[1]}x{shape[2]} "
            f"as this set has"
        )
    if len(images) != len(labels):
        raise DataError(f"{images_at} holds {len(images)} images, {labels_at} {len(labels)} labels; they must agree")
    if not len(images):
        raise DataError(f"{images_at}: holds no image")
    if labels.max() >= classes:
        raise DataError(f"{labels_at}: label {labels.max()} of a set with {classes} classes (0 to {classes - 1})")
    return Split(images[:, None].copy(), labels.astype(np.int64))
