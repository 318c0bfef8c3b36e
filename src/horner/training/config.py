"""What a training run is told, decided before it starts."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args, get_type_hints

import torch

from horner.errors import TrainingError

Optimizer = Literal["adamw", "muon", "sgd"]
Schedule = Literal["one-cycle", "cosine", "constant"]
Augmentation = Literal["none", "shift", "affine", "crop-flip", "crop-flip-cutout", "crop-flip-cutmix"]
Shown = Literal["same", "whole"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of one run.

    Parameters
    ----------
    epochs
        Passes over the training split.
    batch_size
        Images per step, over all processes together. The last images of an epoch are not dropped:
        an epoch has ``ceil(images / batch_size)`` steps of equal size, give or take one image.
    lr
        The highest step size of the schedule.
    optimizer, momentum
        ``adamw``; ``sgd`` with Nesterov momentum; or ``muon``, whose `lr` is the part of its own size by which a
        weight changes in a step, and which decays nothing (:mod:`horner.training.muon`).
    weight_decay
        On weights; biases and the scales of normalisations have none (see ``parameter_groups``).
    schedule, warmup
        ``one-cycle``: linear up from ``lr / 25``, linear down to ``lr / 1000``. ``cosine``: linear up from 0,
        half a cosine down to 0. ``constant``: linear up, then flat. The way up takes ``warmup`` of all steps.
    clip_norm
        Largest norm of the whole gradient, or none.
    label_smoothing
        Share of a label's weight spread evenly over all classes.
    augmentation
        ``shift``: up to 2 pixels any way. ``affine``: turned by up to 5 degrees, scaled and slanted by up to 5 %,
        shifted by up to 3/4 of a pixel. ``crop-flip``: up to 4 pixels any way, and mirrored half of the time.
        ``crop-flip-cutout``: that, and a rectangle of a quarter of the height and width hidden.
        ``crop-flip-cutmix``: half of such images with a rectangle of another, of any size, and as much of its label.
    distill_weight, temperature
        Share of the teacher in the loss and the softness of what it says (see :mod:`horner.training.distillation`).
    shown
        What the teacher judges: the ``same`` image as the student, or, with ``crop-flip-cutout``, the
        ``whole`` of it, before the rectangle is hidden.
    precision
        Of the forward pass in training; validation is always float32. ``bfloat16`` is taken where the device
        multiplies it natively; elsewhere it would be emulated, several times slower than float32, which then is
        what runs. ``auto`` is bfloat16 on such a GPU, otherwise float32.
    device
        ``auto`` is a GPU when there is one.
    channels_last
        Feed images as rows of pixels rather than planes; faster on GPUs and for most networks on CPUs.
    seed
        Everything random is a function of it and of the position in the run.
    threads
        Of the CPU; ``None`` leaves torch's own choice.
    checkpoint_seconds
        Time between two checkpoints, beside one after every epoch; 0 is one after every step. On a slow disk
        it is stretched so that saving takes a twentieth of the time at most.

    >>> TrainConfig(epochs=0)
    Traceback (most recent call last):
    horner.errors.TrainingError: epochs is at least 1, not 0
    """

    epochs: int = 10
    batch_size: int = 128
    lr: float = 2e-3
    optimizer: Optimizer = "adamw"
    momentum: float = 0.9
    weight_decay: float = 1e-2
    schedule: Schedule = "one-cycle"
    warmup: float = 0.2
    clip_norm: float | None = None
    label_smoothing: float = 0.0
    augmentation: Augmentation = "none"
    distill_weight: float = 0.0
    temperature: float = 4.0
    shown: Shown = "same"
    precision: Precision = "auto"
    device: str = "auto"
    channels_last: bool = True
    seed: int = 0
    threads: int | None = None
    checkpoint_seconds: float = 20.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TrainingError(f"{name} is at least 1, not {value}")
        for name in ("lr", "temperature", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise TrainingError(f"{name} is positive and finite, not {value}")
        for name in ("label_smoothing", "warmup", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise TrainingError(f"{name} is at least 0 and below 1, not {getattr(self, name)}")
        if not 0 <= self.distill_weight <= 1:
            raise TrainingError(f"distill_weight is a share from 0 to 1, not {self.distill_weight}")
        if not self.weight_decay >= 0 or not self.checkpoint_seconds >= 0:
            raise TrainingError("weight_decay and checkpoint_seconds are not negative")
        if self.shown == "whole" and self.augmentation != "crop-flip-cutout":
            raise TrainingError("shown = whole: of augmentations only crop-flip-cutout hides anything")
        for name, hint in get_type_hints(TrainConfig).items():
            choices = get_args(hint)
            if choices and isinstance(choices[0], str) and getattr(self, name) not in choices:
                raise TrainingError(f"{name} is one of {', '.join(choices)}, not {getattr(self, name)!r}")

    def decides(self) -> dict[str, object]:
        """Return the settings that the result depends on: not where it is computed, nor how often it is saved."""
        # the usual `shown` is left out, so that checkpoints and records from before it can still be compared
        left_out = {"device", "threads", "checkpoint_seconds", *(["shown"] if self.shown == "same" else [])}
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in left_out}


def find_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` is a GPU when there is one, else the CPU.

    Raises
    ------
    TrainingError
        When there is no such device.

    >>> find_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise TrainingError(f"no device {name!r} here: {str(error).splitlines()[0]}") from error
    return device


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Return what the forward pass is cast to, or ``None`` for float32 throughout."""
    wanted = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return torch.bfloat16 if wanted and multiplies_bfloat16(device) else None


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions of its own for products of bfloat16; true where that is not known."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # an older torch
        return True
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
