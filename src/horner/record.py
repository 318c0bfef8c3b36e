"""Recorded runs: one small JSON file for each, with all that a table of results needs and how to run it again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from horner import __version__
from horner._files import expect_writable, read_bytes, write_atomic
from horner.errors import FileError
from horner.presets import Preset
from horner.training.spent import Spent


@dataclass(frozen=True)
class Recording:
    """Where a run will be recorded, what was typed, and the preset that it follows."""

    path: Path
    command: str = ""
    preset: str | None = None


class Accuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """In percent, on all images of a split; None where no validation images were held out."""

    validation: float | None = None
    test: float


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of retraining, all stages together, as a multiple of training the dense network.

    The times are None where the two were not trained on one kind of machine.
    """

    epochs: float
    seconds: float | None
    cpu_seconds: float | None


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One run of `horner approximate`, as it happened.

    Parameters
    ----------
    horner
        The version.
    command, dense_command
        What was typed; paths that only this machine has are left out.
    preset
        The one that was followed, or None.
    recipe
        All that was asked for, whatever the preset says today.
    seed
        Of everything random.
    complete
        Whether the images were all of the set, verified.
    images
        Training, validation and test images; fine-tuning may have held out others, as its recipe says.
    dense
        What training the dense network took; None when that is not known.
    retraining
        The same for every stage of retraining, in order, fine-tuning the last; empty for the fit alone.
    cost
        Both compared; None without retraining, or when the dense network's is not known.
    accuracy
        Of ``dense`` and ``approximated`` (the real coefficients, before they were quantised) in float32, of the program
        by the ``reference`` and as compiled ``c`` (missing where there was no compiler; its outputs are those of the
        reference on every image, or nothing is recorded).
    drop
        Points of test accuracy between the dense network and the program.
    account
        What the program stores and computes, see docs/numbers.md.
    sha256
        Of the `.horner` file.
    """

    horner: str = __version__
    command: str
    dense_command: str
    preset: str | None
    recipe: Preset
    seed: int
    complete: bool
    images: dict[str, int]
    dense: Spent | None
    retraining: dict[str, Spent]
    cost: Cost | None
    accuracy: dict[str, Accuracy]
    drop: float
    account: dict[str, Any]
    sha256: str


def cost(dense: Spent | None, stages: Mapping[str, Spent]) -> Cost | None:
    """Compare the cost of retraining with that of training the dense network."""
    if dense is None or not stages:
        return None
    runs = list(stages.values())
    alike = all(run.machine == dense.machine for run in [*runs, *dense.runs])

    def times(name: str) -> float:
        return round(sum(getattr(run, name) for run in runs) / sum(getattr(run, name) for run in dense.runs), 3)

    return Cost(times("epochs"), times("seconds") if alike else None, times("cpu_seconds") if alike else None)


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def place(asked: Path, output: Path) -> Path:
    """Return the file to record a run in, which must be possible: the one asked for, or one in that folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     place(Path(folder), Path("runs/m.horner")).name
    'm.json'
    """
    return expect_writable(asked if asked.suffix == ".json" else asked / f"{output.stem}.json")


def write(path: Path, record: Record) -> None:
    """Write a record, whole or not at all."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(record), indent=1).decode() + "\n")


def read(path: Path) -> Record:
    """Read a record.

    Raises
    ------
    FileError
        When the file is none.
    """
    try:
        return msgspec.json.decode(read_bytes(path), type=Record)
    except msgspec.DecodeError as error:
        raise FileError(f"{path} is no record of a run: {error}") from error
