"""Programs that come with Horner: of each preset in the table of results, one file that a recorded run made.

``zoo.json`` beside them says what each is; ``python -m tools.results --zoo`` writes both, from recorded runs.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
from importlib import resources
from pathlib import Path

import msgspec
from rich import box
from rich.table import Table

from horner._files import read_bytes
from horner.errors import FileError

PREFIX = "zoo:"
INDEX = "zoo.json"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A program of the zoo and its numbers, as its run was recorded; accuracies in percent, of the test split.

    Parameters
    ----------
    title, model, data, seed
        What it is, and was trained on.
    reading
        How its weights find their place on a polynomial: positional or ranked.
    file_bytes, byte_ratio, coefficient_ratio
        See docs/numbers.md.
    accuracy, drop
        Of the program, and points below its dense network.
    n
        Test images.
    sha256
        Of the file.
    """

    title: str
    model: str
    data: str
    seed: int
    reading: str
    file_bytes: int
    byte_ratio: float
    coefficient_ratio: float
    accuracy: float
    drop: float
    n: int
    sha256: str


@functools.cache
def entries() -> dict[str, Entry]:
    """Return all entries by name."""
    return msgspec.json.decode(_home().joinpath(INDEX).read_bytes(), type=dict[str, Entry])


def find(name: str | os.PathLike[str]) -> Path:
    """Return the file that a name means: ``zoo:NAME`` is one that comes with Horner, all else is a path.

    Raises
    ------
    FileError
        When the zoo has none of that name, or the installation lacks it.
    """
    text = os.fspath(name)
    if not text.startswith(PREFIX):
        return Path(text)
    known = text.removeprefix(PREFIX)
    if known not in entries():
        close = difflib.get_close_matches(known, entries(), n=1)
        hint = f"; did you mean {PREFIX}{close[0]}?" if close else "; `horner zoo` lists what there is"
        raise FileError(f"the zoo has no {known!r}{hint}")
    path = _home() / f"{known}.horner"
    if not path.is_file():
        raise FileError(f"{path} is missing from this installation of Horner; install it again")
    return path


def recognise(path: Path) -> Entry | None:
    """Return the entry that a file's content is, wherever it lies."""
    digest = hashlib.sha256(read_bytes(path)).hexdigest()
    return next((entry for entry in entries().values() if entry.sha256 == digest), None)


def table() -> Table:
    """Return all entries as a table for the terminal."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "what", "images"):
        made.add_column(heading)
    for heading in ("bytes", "byte ratio", "coeff. ratio", "accuracy", "drop"):
        made.add_column(heading, justify="right")
    for name, entry in entries().items():
        numbers = (f"{entry.byte_ratio:,.1f}x", f"{entry.coefficient_ratio:,.1f}x", f"{entry.accuracy:.2f} %")
        made.add_row(PREFIX + name, entry.title, entry.data, f"{entry.file_bytes:,}", *numbers, f"{entry.drop:.2f}")
    return made


def _home() -> Path:
    return Path(str(resources.files(__name__)))
