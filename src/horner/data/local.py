"""Sets on this machine's own disk: the user's data folder, and the cache of what was fetched before."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from horner import _files
from horner._files import read_bytes, write_atomic
from horner.data import archive
from horner.data.catalog import Official
from horner.errors import DataError, FileError

LIMIT = 1 << 30  # bytes of one file, decompressed


@dataclass(frozen=True)
class Found:
    """The files of a set, in the catalogue's order, each with what to call it in a message."""

    files: Sequence[tuple[str, bytes]]
    source: str
    complete: bool


def data_folder(data_dir: Path | None) -> Path | None:
    """Return the data folder that was given, or else the one that HORNER_DATA names; None without either.

    Raises
    ------
    DataError
        When it is no folder: whoever names one means it.
    """
    given = data_dir or os.environ.get("HORNER_DATA")
    if not given:
        return None
    folder = Path(given).expanduser()
    by = "given as the data folder" if data_dir else "named by HORNER_DATA"
    with _reading(folder):
        if not folder.is_dir():
            raise DataError(f"{folder}, {by}, {'is not a folder' if folder.exists() else 'does not exist'}")
    return folder


def from_folder(official: Official, folder: Path) -> Found | None:
    """Read a set from a data folder in its official form, compressed or not; None when the folder lacks it.

    The user's files count even when they are not the official ones (a slice of the set, say), but they must be
    well-formed, and they are reported as not complete.
    """
    top = folder / official.name
    inner = top / official.folder
    with _reading(top):
        if not top.exists():
            return None
        packed = top / official.archive.name if official.archive else None
        if packed is not None and packed.is_file() and not inner.is_dir():
            members = official.unpack(read_plain(packed), str(packed))
            files = [(f"{packed}, {name}", data) for name, data in members.items()]
            return Found(files, f"data folder {folder}", complete=True)
        base = inner if inner.is_dir() else top
        paths = [_spelling(base, file.name) for file in official.files]
    files = [(str(path), read_plain(path, decompress=True)) for path in paths]
    pinned = [file.sha256 for file in official.files]
    return Found(files, f"data folder {folder}", complete=[archive.sha256(data) for _, data in files] == pinned)


def _spelling(folder: Path, name: str) -> Path:
    other = name.replace("-idx", ".idx")  # as some mirrors have it
    for candidate in (f"{name}.gz", name, f"{other}.gz", other):
        if (folder / candidate).exists():
            return folder / candidate
    raise DataError(f"{folder} lacks {name} (or {name}.gz)")


def read_plain(path: Path, *, decompress: bool = False) -> bytes:
    """Read a file; with ``decompress``, a ``.gz`` file's content."""
    try:
        data = read_bytes(path, LIMIT)
    except FileError as error:
        raise DataError(str(error)) from error
    return archive.gunzip(data, LIMIT, str(path)) if decompress and path.suffix == ".gz" else data


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror or error}") from error


def cache_folder() -> Path:
    """Return Horner's cache; that there is none is an error of the data."""
    try:
        return _files.cache_folder()
    except FileError as error:
        raise DataError(str(error)) from error


def partial_folder(official: Official) -> Path | None:
    """Return where unfinished downloads of a set wait; None where there is no cache."""
    with contextlib.suppress(DataError):
        return cache_folder() / "partial" / official.name
    return None


def from_cache(official: Official, announce: Callable[[str], None]) -> dict[str, bytes]:
    """Read a set from the cache; throw a damaged file away, so that it is fetched again.

    Raises
    ------
    DataError
        When a file is missing, unreadable or damaged.
    """
    folder = cache_folder() / official.name
    files = {}
    for file in official.files:
        path = folder / file.name
        if not os.path.lexists(path):
            raise DataError(f"{folder} does not hold {file.name}")
        data = read_plain(path)
        try:
            files[file.name] = file.verify(data, str(path))
        except DataError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            announce(f"threw away a damaged file: {error}")
            raise
    return files


def store(official: Official, files: Mapping[str, bytes]) -> None:
    """Keep verified files in the cache, each whole or not at all, and drop what unfinished downloads left.

    Raises
    ------
    HornerError
        When the cache cannot be written.
    """
    for file in official.files:
        write_atomic(cache_folder() / official.name / file.name, files[file.name])
    if (partial := partial_folder(official)) is not None:
        shutil.rmtree(partial, ignore_errors=True)
