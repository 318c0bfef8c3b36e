"""What a run took, and where: kept with what it made, so that costs can be compared later."""

from __future__ import annotations

import functools
import os
import platform
import re
from pathlib import Path
from typing import Any

import msgspec
import torch

from horner.training.config import TrainConfig, find_device
from horner.training.result import TrainResult


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a run was computed on; nothing that names a machine or its user.

    Parameters
    ----------
    processor, cores
        The CPU's model, and how many cores the system sees. All models of a run that went on elsewhere, in turn.
    threads
        Of the CPU, used in training.
    device
        Where it was trained: ``cpu``, or the model of a GPU.
    torch
        PyTorch's version.
    """

    processor: str
    cores: int
    threads: int
    device: str
    torch: str


class Spent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A finished run: what it was told, what it took, and where.

    ``seconds`` and ``cpu_seconds`` are those of :class:`~horner.training.TrainResult`; ``settings`` those that the
    result depends on; ``before`` is the run whose network it went on from, if any.
    """

    epochs: int
    best_epoch: int
    seconds: float
    cpu_seconds: float
    machine: Machine
    settings: dict[str, Any]
    before: Spent | None = None

    @property
    def runs(self) -> list[Spent]:
        """Return all runs that the network went through, the first one first."""
        return [*(self.before.runs if self.before else []), self]


def spent(result: TrainResult, config: TrainConfig) -> Spent:
    """Describe a run that finished here.

    >>> from horner.training.result import Epoch
    >>> history = tuple(Epoch(1.0, 50.0, 60.0, 60.0, processor) for processor in ("This", "That", "That"))
    >>> spent(TrainResult(history, 3, 180.0, 180.0), TrainConfig(epochs=3)).machine.processor
    'This, then That'
    """
    here = describe(config)
    passed = dict.fromkeys(epoch.processor for epoch in result.history if epoch.processor)
    return Spent(
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        seconds=round(result.seconds, 2),
        cpu_seconds=round(result.cpu_seconds, 2),
        machine=msgspec.structs.replace(here, processor=", then ".join(passed) or here.processor),
        settings=config.decides(),
    )


def describe(config: TrainConfig) -> Machine:
    """Return what a run of these settings is computed on."""
    device = find_device(config.device)
    return Machine(
        processor=processor(),
        cores=os.cpu_count() or 1,
        threads=config.threads or torch.get_num_threads(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        torch=str(torch.__version__),
    )


@functools.cache
def processor() -> str:
    """Return the CPU's model, or its architecture where the system does not say."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()
