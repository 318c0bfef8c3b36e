"""Unpacking downloads in memory, with bounds: nothing is written, no path of an archive is ever followed."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import PurePosixPath

from horner.errors import DataError


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def verify(data: bytes, size: int, digest: str, origin: str) -> bytes:
    """Return ``data`` if it has that size and SHA-256.

    Raises
    ------
    DataError
        When it has not; the message names ``origin``.
    """
    if len(data) != size:
        raise DataError(f"{origin}: {len(data)} bytes instead of {size}")
    if (found := sha256(data)) != digest:
        raise DataError(f"{origin}: the SHA-256 is {found} instead of {digest}")
    return data


def gunzip(data: bytes, limit: int, origin: str = "gzip data") -> bytes:
    """Decompress gzip data to at most ``limit`` bytes.

    Raises
    ------
    DataError
        When the data is not gzip, is damaged, ends early, or holds more than ``limit`` bytes.
    """
    decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = decoder.decompress(data, limit + 1)
    except zlib.error as error:
        raise DataError(f"{origin}: damaged gzip data ({error})") from error
    if len(content) > limit:
        raise DataError(f"{origin}: more than the {limit} bytes allowed once decompressed")
    if not decoder.eof:
        raise DataError(f"{origin}: gzip data that ends early, after {len(data)} bytes")
    return content


def read_members(data: bytes, names: Iterable[str], limit: int, origin: str = "archive") -> dict[str, bytes]:
    """Read the plain files called ``names`` from a gzipped tar archive, whatever folder they are in.

    Parameters
    ----------
    data : bytes
        The ``.tar.gz``.
    names : iterable of str
        Base names of the wanted members; all others are passed over.
    limit : int
        The most bytes that the whole archive may hold.
    origin : str
        What an error message calls it.

    Raises
    ------
    DataError
        When the archive is damaged, too large, or lacks one of the files.
    """
    wanted = set(names)
    found: dict[str, bytes] = {}
    try:
        # "|" reads forward only, so that a member's size is seen before its bytes are decompressed.
        with tarfile.open(fileobj=io.BytesIO(data), mode="r|gz") as archive:
            for member in archive:
                if member.offset_data + member.size > limit:
                    raise DataError(f"{origin}: more than the {limit} bytes allowed once decompressed")
                name = PurePosixPath(member.name).name
                if member.isreg() and name in wanted:
                    stream = archive.extractfile(member)
                    found[name] = stream.read() if stream else b""
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{origin}: damaged archive ({error})") from error
    if missing := wanted - found.keys():
        raise DataError(f"{origin}: lacks {', '.join(sorted(missing))}")
    return found
