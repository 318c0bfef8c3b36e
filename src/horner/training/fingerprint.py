"""What makes two runs the same run, so that a checkpoint is only ever continued by its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from torch import nn

from horner.errors import TrainingError
from horner.training.batches import as_tensor
from horner.training.checkpoint import digest, model_digest
from horner.training.config import TrainConfig
from horner.training.evaluate import Split


class Data(Protocol):
    """What the trainer needs of a data set; pixels enter as ``(pixel - mean) / std``."""

    @property
    def train(self) -> Split: ...  # noqa: D102

    @property
    def validation(self) -> Split: ...  # noqa: D102

    @property
    def mean(self) -> float: ...  # noqa: D102

    @property
    def std(self) -> float: ...  # noqa: D102


def fingerprint(
    model: nn.Module, data: Data, config: TrainConfig, teacher: nn.Module | None, processes: int
) -> dict[str, Any]:
    """Return plain values that differ when the result of a run would: settings, and digests of what goes in."""
    return {
        **config.decides(),
        "processes": processes,
        "data": data_digest(data),
        "initial weights": model_digest(model),
        "teacher": None if teacher is None else model_digest(teacher),
    }


def data_digest(data: Data) -> str:
    """Return a name of the images and labels of both splits, and of how pixels enter."""
    splits = {"train": data.train, "validation": data.validation}
    tensors = {f"{name}.images": as_tensor(split.images) for name, split in splits.items()}
    tensors |= {f"{name}.labels": as_tensor(split.labels) for name, split in splits.items()}
    return f"{digest(tensors)} {float(data.mean)} {float(data.std)}"


def require_same(there: object, here: dict[str, Any], path: Path) -> None:
    """Refuse a checkpoint of another run.

    Raises
    ------
    TrainingError
        Naming what differs.
    """
    if not isinstance(there, dict):
        raise TrainingError(f"{path}: the checkpoint says nothing of its run; delete it to start afresh")
    digests = ("data", "initial weights", "teacher")
    for name in sorted(here.keys() | there.keys()):
        if there.get(name) != here.get(name):
            values = "" if name in digests else f" ({there.get(name)} there, {here.get(name)} here)"
            raise TrainingError(
                f"{path} is the checkpoint of another run: {name} differs{values}; "
                "repeat that run exactly, give another path, or delete the file to start afresh"
            )
