"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

from horner.errors import FileError


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> Path:
    """Write ``data`` beside ``path``, then rename it into place; folders are made as needed.

    Raises
    ------
    FileError
        When the file cannot be written (no permission, full disk, a folder of that name). The
        former content, if any, is untouched and no temporary file stays behind.
    """
    path = Path(path)
    raw = data.encode() if isinstance(data, str) else data
    temporary: str | None = None
    try:
        _make_folder(path.parent)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
    return path


def expect_writable(path: str | os.PathLike[str]) -> Path:
    """Make the folder of a file that will be written after long work, and find out now whether it can be.

    Raises
    ------
    FileError
        When it cannot.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _make_folder(path.parent)
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


def read_bytes(path: str | os.PathLike[str], limit: int | None = None) -> bytes:
    """Read a whole file; refuse one larger than ``limit`` bytes before reading it.

    Raises
    ------
    FileError
        When the file is missing, unreadable, too large, or a device that might never end.
    """
    path = Path(path)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise FileError(f"cannot read {path}: it is a device or a pipe, not a file")
        size = found.st_size
        if limit is not None and size > limit:
            raise FileError(f"{path}: {size} bytes, more than the {limit} allowed here")
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error


def cache_folder() -> Path:
    """Return HORNER_CACHE, or else ``horner`` in XDG_CACHE_HOME or ``~/.cache``; it need not exist.

    Raises
    ------
    FileError
        When none of them is known.
    """
    if given := os.environ.get("HORNER_CACHE"):
        return Path(given).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "horner"
    except RuntimeError as error:
        raise FileError("this user has no home folder; set HORNER_CACHE") from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
