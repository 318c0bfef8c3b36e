"""Fetching a set from its official homes, whichever of them answers with the right bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from horner.data import archive, download, progress
from horner.data.catalog import File, Official
from horner.data.local import partial_folder
from horner.errors import DataError

HEADROOM = 4096  # what gzip may add to a file that does not compress


def fetch_set(official: Official, announce: Callable[[str], None]) -> dict[str, bytes]:
    """Return a set's verified files.

    Each file comes from the first home that gives a good one; a home that has failed once is not asked again.

    Raises
    ------
    DataError
        When no home is left; the message says what was wrong with each.
    """
    failures = {home: f"{home}: {why}" for home, why in download.unreachable(official.homes).items()}
    keep = partial_folder(official)
    asked: list[str] = []

    def first_good(get: Callable[[str], dict[str, bytes]]) -> dict[str, bytes]:
        for home in official.homes:
            if home in failures:
                continue
            if home not in asked:
                asked.append(home)
                announce(f"{official.name}: fetching from {home}")
            try:
                return get(home)
            except DataError as error:
                failures[home] = str(error)
        raise DataError("; ".join(failures.values()))

    if official.archive is not None:
        return first_good(partial(_archive, official, keep))
    files: dict[str, bytes] = {}
    for file in official.files:
        files |= first_good(partial(_file, official, file, keep))
    return files


def _file(official: Official, file: File, keep: Path | None, home: str) -> dict[str, bytes]:
    url = f"{home}{file.name}.gz"
    data = archive.gunzip(_fetch(url, file.size + HEADROOM, keep, f"{official.name}: {file.name}"), file.size, url)
    return {file.name: file.verify(data, url)}


def _archive(official: Official, keep: Path | None, home: str) -> dict[str, bytes]:
    assert official.archive is not None
    url = home + official.archive.name
    return official.unpack(_fetch(url, official.archive.size, keep, official.archive.name), url)


def _fetch(url: str, limit: int, keep: Path | None, title: str) -> bytes:
    with progress.transfer(title) as report:
        return download.fetch(url, limit=limit, keep=keep, report=report)
