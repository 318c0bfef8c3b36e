"""The state of an unfinished run on disk: written whole or not at all, read without running what it holds."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from horner._files import read_bytes, write_atomic
from horner.errors import TrainingError

MAGIC = b"horner checkpoint 2\n"


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values as ``MAGIC``, the SHA-256 of the rest, and ``torch.save``'s archive.

    Raises
    ------
    FileError
        When the file cannot be written (a full disk, say); the former one is untouched.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    payload = buffer.getbuffer()
    write_atomic(path, b"".join((MAGIC, hashlib.sha256(payload).digest(), payload)))


def read_checkpoint(path: Path) -> bytes | None:
    """Return the bytes of a checkpoint, or ``None`` where there is none."""
    return read_bytes(path) if path.exists() else None


def parse_checkpoint(raw: bytes, path: Path) -> dict[str, Any]:
    """Return what :func:`save_checkpoint` was given, on the CPU.

    Raises
    ------
    TrainingError
        When the bytes are something else, cut short or damaged.
    """
    digest_end = len(MAGIC) + 32
    if not raw.startswith(MAGIC):
        raise TrainingError(f"{path}: not a checkpoint of Horner's; give another path, or delete it to start afresh")
    if hashlib.sha256(memoryview(raw)[digest_end:]).digest() != raw[len(MAGIC) : digest_end]:
        raise TrainingError(f"{path}: the checkpoint is damaged or cut short; delete it to start afresh")
    try:
        state = torch.load(io.BytesIO(memoryview(raw)[digest_end:]), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load's own errors have no common base
        raise TrainingError(f"{path}: the checkpoint cannot be read: {error}; delete it to start afresh") from error
    if not isinstance(state, dict):
        raise TrainingError(f"{path}: the checkpoint holds a {type(state).__name__}; delete it to start afresh")
    return state


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of the model's parameters and buffers, parametrised or not."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and values.

    >>> digest({"a": torch.zeros(2)}) == digest({"b": torch.zeros(2)})
    False
    """
    sha = hashlib.sha256()
    for name, tensor in tensors.items():
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def model_digest(model: nn.Module) -> str:
    """Return :func:`digest` of all a model's parameters and buffers, those that it does not save included."""
    return digest(dict(model.named_parameters()) | dict(model.named_buffers()))
