"""One run on many processes: what ``torchrun`` says about this one, and the few exchanges the trainer needs.

Every process sees the same order of images and takes every ``size``-th of a step's images, beginning with its
``rank``-th. Batch normalisation normalises by the images of its own process; the running statistics are those of
rank 0, which DistributedDataParallel hands to the others before every step.
"""

from __future__ import annotations

import atexit
import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn

from horner.errors import TrainingError


@dataclasses.dataclass(frozen=True)
class Group:
    """The place of this process among those of the run."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Return a module whose backward pass averages gradients over all processes."""
        if self.size == 1:
            return model
        ids = [device] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids)

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """Return the sum over all processes."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def any(self, value: bool, device: torch.device) -> bool:
        """Return whether it holds in any process."""
        if self.size == 1:
            return value
        return bool(self.total(torch.tensor(int(value), device=device)))

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process rank 0's buffers."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def share_bytes(self, raw: bytes | None) -> bytes | None:
        """Return what rank 0 gave, in every process: they need no file system in common."""
        if self.size == 1:
            return raw
        held = [raw]
        dist.broadcast_object_list(held, 0)
        return held[0]


@contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """Join the processes that ``torchrun`` started; alone where it did not.

    The backend is NCCL for GPUs, else Gloo. A process group that exists already is used; one that is made here stays
    until the process ends, because a second one would meet at what the first left in their common store.

    Raises
    ------
    TrainingError
        When the environment names a rank but the others cannot be met.
    """
    if dist.is_available() and dist.is_initialized():
        yield Group(dist.get_rank(), dist.get_world_size())
        return
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield Group()
        return
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (ValueError, RuntimeError) as error:
        raise TrainingError(f"the {os.environ['WORLD_SIZE']} processes of the run cannot meet: {error}") from error
    atexit.register(_leave)
    yield Group(dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """Return this process's own GPU where ``torchrun`` started several processes on one machine."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    return device
