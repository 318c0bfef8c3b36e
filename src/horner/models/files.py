"""Trained dense networks on disk: safetensors, with what is needed to rebuild and use them in the metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from horner._files import read_bytes, write_atomic
from horner.errors import FileError, ModelError
from horner.models.registry import build, names
from horner.training.spent import Spent

KEY = "horner.model"


class ModelInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a trained network is and was trained on.

    ``spec`` is as in :func:`~horner.models.build`; ``shape`` is (channels, height, width); pixels
    enter as ``(pixel - mean) / std``; ``accuracy`` is in percent, on the validation split; ``spent`` and ``command``
    say what training it took and what was typed.
    """

    spec: str
    batch_norm: bool | None = None
    shape: tuple[int, int, int] = (1, 28, 28)
    classes: int = 10
    data: str = ""
    mean: float = 0.0
    std: float = 1.0
    accuracy: float | None = None
    spent: Spent | None = None
    command: str = ""


def save(path: str | os.PathLike[str], model: nn.Module, info: ModelInfo) -> None:
    """Write the model's parameters and buffers, and ``info``, as one safetensors file.

    Raises
    ------
    FileError
        When the file cannot be written; a former one is then untouched.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    write_atomic(path, safetensors.torch.save(tensors, {KEY: msgspec.json.encode(info).decode()}))


def load(path: str | os.PathLike[str], *, spec: str | None = None) -> tuple[nn.Module, ModelInfo]:
    """Read a file of :func:`save` and rebuild its model, in evaluation mode.

    Parameters
    ----------
    path
        The file.
    spec
        The model to build; needed where the file names one of the user's own
        (``package.module:function``), because a data file should not choose what code runs.

    Raises
    ------
    FileError
        When the file cannot be read or is malformed.
    ModelError
        When its tensors do not fit the model, or its model is the user's own and ``spec`` is missing.
    """
    raw = read_bytes(path)
    try:
        tensors = safetensors.torch.load(raw)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise FileError(f"{path}: not a safetensors file, or a damaged one: {error}") from error
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    text = header.get("__metadata__", {}).get(KEY)
    if text is None:
        raise FileError(f"{path}: a safetensors file, but not one of Horner's models (no {KEY!r} in its metadata)")
    try:
        info = msgspec.json.decode(text, type=ModelInfo)
    except msgspec.DecodeError as error:
        raise FileError(f"{path}: its metadata {KEY!r} is malformed: {error}") from error
    if spec is None and info.spec not in names():
        raise ModelError(
            f"{path}: made by {info.spec!r}, which is not built in; to run that code, name it as the model"
        )
    model = build(spec or info.spec, batch_norm=info.batch_norm, shape=info.shape, classes=info.classes)
    fit(f"{path}", model, tensors)
    return model.eval(), info


def fit(source: str, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy ``tensors`` into the model's parameters and buffers of those names.

    Raises
    ------
    ModelError
        Naming the first tensor that is missing, unknown, or of another shape.
    """
    wanted = model.state_dict()
    for name, tensor in wanted.items():
        if name not in tensors:
            raise ModelError(f"{source}: tensor {name} of shape {_shape(tensor)} is missing")
        if tensors[name].shape != tensor.shape:
            raise ModelError(
                f"{source}: tensor {name} has shape {_shape(tensors[name])}, the model wants {_shape(tensor)}"
            )
    for name, tensor in tensors.items():
        if name not in wanted:
            raise ModelError(f"{source}: tensor {name} of shape {_shape(tensor)} is none of the model's")
    model.load_state_dict(dict(tensors))


def _shape(tensor: torch.Tensor) -> str:
    return str(tuple(tensor.shape))
