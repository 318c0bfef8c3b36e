"""Reading picture files, with Pillow, into the arrays that a network takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from horner.errors import DataError

MODES = {1: "L", 3: "RGB"}


def read_images(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    shape: tuple[int, int, int],
    *,
    fit: bool = False,
) -> np.ndarray:
    """Read pictures for inference.

    Parameters
    ----------
    paths : path or sequence of paths
        Files in any format that Pillow reads, 8 bits a channel.
    shape : (int, int, int)
        Channels (1 or 3), height and width that the network takes.
    fit : bool
        Turn colour into grey or grey into colour and resample to the right size, instead of refusing.

    Returns
    -------
    numpy.ndarray
        uint8, (N, C, H, W).

    Raises
    ------
    DataError
        When a file is not a picture or, without ``fit``, has another shape; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (28, 28), 7).save(f"{folder}/seven.png")
    ...     images = read_images(f"{folder}/seven.png", (1, 28, 28))
    >>> images.shape, int(images[0, 0, 0, 0])
    ((1, 1, 28, 28), 7)
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    channels = shape[0]
    if channels not in MODES:
        raise DataError(f"a network with {channels} input channels takes no picture; 1 (grey) and 3 (RGB) do")
    batch = np.empty((len(paths), *shape), np.uint8)
    for i, path in enumerate(paths):
        picture = open_picture(Path(path))
        has = shape_of(picture)
        if not fit and has != shape:
            kind = (
                f"{has[0]}-channel image for a {channels}-channel"
                if has[0] != channels
                else "image of the wrong size for this"
            )
            raise DataError(
                f"{path}: a {kind} network: the image is {'x'.join(map(str, has))}, the network takes "
                f"{'x'.join(map(str, shape))} (channels x height x width); convert the image, or pass fit=True"
            )
        batch[i] = to_array(picture, shape)
    return batch


def open_picture(path: Path) -> Image.Image:
    """Open a picture as grey (L) or RGB, upright.

    Raises
    ------
    DataError
        When the file cannot be read, is no picture, is transparent, or has more than 8 bits a channel.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Pillow has no one exception for damaged files; a format may raise any of these.
        said = "not a picture that Pillow can read" if isinstance(error, Image.UnidentifiedImageError) else error
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or said}") from error
    if picture.mode in ("F", "I") or picture.mode.startswith("I;"):
        raise DataError(f"{path}: more than 8 bits a channel (mode {picture.mode}); save it with 8 bits")
    if picture.has_transparency_data:
        alpha = picture.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            raise DataError(f"{path}: is partly transparent; flatten it on the background you mean")
    return picture.convert("L" if picture.mode in ("1", "L", "LA", "La") else "RGB")


def shape_of(picture: Image.Image) -> tuple[int, int, int]:
    """Return channels, height and width."""
    return len(picture.getbands()), picture.height, picture.width


def to_array(picture: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
    """Return a picture as uint8 (C, H, W), converted and resampled (bilinear, antialiased) where it differs."""
    channels, height, width = shape
    picture = picture.convert(MODES[channels])
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(height, width, channels).transpose(2, 0, 1)
