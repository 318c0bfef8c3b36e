"""The one trainer: dense, approximated and quantisation-aware models alike."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from horner.errors import InterruptedTrainingError, TrainingError
from horner.training.augment import augment, cutmix, cutout, mixed_labels
from horner.training.batches import (
    as_tensor,
    epoch_order,
    normalise,
    seed_generators,
    seed_of,
    step_range,
    steps_per_epoch,
)
from horner.training.checkpoint import parse_checkpoint, read_checkpoint, save_checkpoint, snapshot
from horner.training.config import TrainConfig, autocast_dtype, find_device
from horner.training.distillation import Panel, distillation_loss
from horner.training.distributed import Group, joined, local_device
from horner.training.evaluate import all_logits, count_correct
from horner.training.fingerprint import Data, fingerprint, require_same
from horner.training.interrupt import stop_requests
from horner.training.lowering import lowering
from horner.training.memory import keep_freed_memory
from horner.training.optimizer import ParameterGroups, make_optimizer, set_lr
from horner.training.progress import shown
from horner.training.result import Epoch, TrainResult
from horner.training.schedule import lr_factor
from horner.training.spent import processor

EpochHook = Callable[[nn.Module, int, int], bool | None]
AGREE_EVERY = 16  # steps between two questions to the other processes whether to save or stop
SAVING_SHARE = 0.05  # of the time at most goes into checkpoints within an epoch


def train(
    model: nn.Module,
    data: Data,
    config: TrainConfig,
    *,
    teacher: nn.Module | None = None,
    checkpoint: Path | None = None,
    progress: bool = True,
    parameter_groups: ParameterGroups | None = None,
    epoch_hook: EpochHook | None = None,
) -> TrainResult:
    """Train ``model`` in place; it ends with the weights that were best on the validation split.

    With no images in that split, it ends with those of the last epoch.

    On a CPU the process keeps the memory that training frees (:func:`horner.training.memory.keep_freed_memory`).

    Parameters
    ----------
    model
        Images ``(N, C, H, W)`` to logits ``(N, classes)``; it is moved to the device and left in evaluation mode.
    data
        ``train`` and ``validation`` splits (uint8 ``images``, int64 ``labels``), ``mean`` and ``std`` of a pixel.
        No other split is looked at.
    config
        The settings.
    teacher
        A trained model to distil from, or a :class:`~horner.training.Panel` of several, with
        ``config.distill_weight`` above 0.
    checkpoint
        Where to keep the state of the run. The same call with the same file goes on where it was cut off and,
        on a CPU, ends with the same weights bit for bit; a finished run returns at once.
    progress
        Show one line on standard error.
    parameter_groups
        The optimiser's groups, with ``lr`` a multiple of ``config.lr``
        (default :func:`horner.training.parameter_groups`).
    epoch_hook
        Called as ``epoch_hook(model, epoch, epochs)`` before every epoch, counted from 0. It may change what the
        model *is*, replacing parameters, and then returns true: the optimiser is rebuilt (parameters that stay keep
        their moments) and earlier epochs no longer count for the selection. A resumed run replays the calls on
        the initial model before it loads the weights, so which parameters there are must depend on the epoch alone.

    Raises
    ------
    TrainingError
        When the run cannot start, go on or resume as asked; its subclass ``InterruptedTrainingError`` on Ctrl-C.
    FileError
        When the checkpoint cannot be written.
    """
    device = local_device(find_device(config.device))
    if (teacher is None) != (config.distill_weight == 0):
        raise TrainingError("distillation takes both: a teacher and a distill_weight above 0")
    if device.type == "cpu":
        keep_freed_memory()
    cuda = [device] if device.type == "cuda" else []
    with joined(device) as group, threads(config.threads), torch.random.fork_rng(cuda), stop_requests() as stop:
        run = Run(model, data, config, teacher, parameter_groups, epoch_hook, group, device)
        if checkpoint is not None:
            run.resume(checkpoint)
        with shown(progress and group.leads, config.epochs, run.steps) as display:
            while run.epoch < config.epochs:
                if run.step == 0:
                    run.begin_epoch()
                while run.step < run.steps:
                    run.train_step()
                    display.step(run.epoch, run.epoch * run.steps + run.step, run.loss, run.seen)
                    run.pause(checkpoint, stop.asked)
                run.end_epoch()
                display.epoch(run.epoch - 1, run.history[-1])
                if checkpoint is not None:
                    run.save(checkpoint)
                if run.epoch < config.epochs and group.any(stop.asked, device):
                    run.interrupt(checkpoint)
        model.load_state_dict(run.best)
        model.eval()
    seconds, cpu_seconds = sum(e.seconds for e in run.history), sum(e.cpu_seconds for e in run.history)
    return TrainResult(tuple(run.history), run.best_epoch + 1, seconds, cpu_seconds)


class Run:
    """The moving parts of a run: what a checkpoint holds, and what changes it."""

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        config: TrainConfig,
        teacher: nn.Module | None,
        groups: ParameterGroups | None,
        hook: EpochHook | None,
        group: Group,
        device: torch.device,
    ) -> None:
        self.model, self.data, self.config, self.teacher = model, data, config, teacher
        self.groups, self.hook, self.group, self.device = groups, hook, group, device
        self.autocast = autocast_dtype(config.precision, device)
        self.mean, self.std = float(data.mean), float(data.std)
        self.images, self.labels = (as_tensor(t).to(device) for t in (data.train.images, data.train.labels))
        self.held_out = [as_tensor(t).to(device) for t in (data.validation.images, data.validation.labels)]
        self.count = len(self.labels)
        self.steps = steps_per_epoch(self.count, config.batch_size)
        model.to(device)
        check_fit(model, data)
        self.teacher_logits: torch.Tensor | None = None
        if teacher is not None:
            teacher.to(device).eval()
            if config.augmentation == "none":  # its opinions of the images never change: ask once
                self.teacher_logits = all_logits(teacher, self.images, self.mean, self.std)

        self.epoch = self.step = self.seen = 0
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.seconds = self.cpu_seconds = 0.0
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch, self.best_accuracy = -1, -1.0
        self.identity: dict[str, Any] = {}
        self.rebuild()
        self.set_out()
        self.saved_at = self.resumed_at

    def rebuild(self) -> None:
        """Make the optimiser, and the wrapper that averages gradients, for the parameters as they are now."""
        self.wrapped: nn.Module | None = None  # the former wrapper lets go of the parameters before the next takes them
        self.model.to(self.device)
        former: torch.optim.Optimizer | None = getattr(self, "optimizer", None)
        self.optimizer = make_optimizer(self.model, self.config, self.groups, former)
        self.wrapped = self.group.wrap(self.model, self.device)

    def begin_epoch(self) -> None:
        """Let the hook have its way before the first step."""
        if self.hook is not None:
            seed_generators(seed_of(self.config.seed, "hook", self.epoch), self.device)
            if self.hook(self.model, self.epoch, self.config.epochs):
                self.best, self.best_epoch, self.best_accuracy = {}, -1, -1.0
                self.rebuild()
        self.set_out()

    def set_out(self) -> None:
        """Make ready for the steps of the present epoch."""
        self.order = epoch_order(self.count, self.config.seed, self.epoch).to(self.device)
        self.model.train()
        self.resumed_at, self.resumed_cpu = time.monotonic(), time.process_time()

    def train_step(self) -> None:
        """Take one step; everything random in it is seeded by where in the run it stands."""
        config, group = self.config, self.group
        batch = self.order[step_range(self.step, self.steps, self.count)]
        chosen = batch[group.rank :: group.size]
        seed_generators(seed_of(config.seed, "step", self.epoch, self.step, group.rank), self.device)
        done = self.epoch * self.steps + self.step
        set_lr(self.optimizer, config.lr * lr_factor(config.schedule, done, config.epochs * self.steps, config.warmup))

        labels = self.labels[chosen]
        pixels, parts, whole = self.images[chosen], None, None
        if config.shown == "whole":
            whole = augment(pixels, "crop-flip")
            pixels = cutout(whole)
        else:
            pixels = augment(pixels, config.augmentation)
        if config.augmentation == "crop-flip-cutmix":
            pixels, parts = cutmix(pixels)
        x = normalise(pixels, self.mean, self.std, config.channels_last)
        with self.mixed_precision():
            assert self.wrapped is not None
            logits = self.wrapped(x).float()
        if parts is not None:
            labels = mixed_labels(labels, parts, logits.shape[1])
        judged = x if whole is None else normalise(whole, self.mean, self.std, config.channels_last)
        loss = self.loss_of(logits, labels, judged, chosen)
        self.optimizer.zero_grad(set_to_none=True)
        if group.size > 1:  # processes are averaged alike although one may hold an image more
            (loss * (len(chosen) * group.size / len(batch))).backward()
        else:
            loss.backward()
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.optimizer.step()
        self.loss += loss.detach() * len(chosen)
        self.seen += len(chosen)
        self.step += 1

    @contextmanager
    def mixed_precision(self) -> Iterator[None]:
        """Run forward passes of training in the run's precision, the way that is fastest there."""
        with (
            torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None),
            lowering(self.device),
        ):
            yield

    def loss_of(
        self, logits: torch.Tensor, labels: torch.Tensor, judged: torch.Tensor, chosen: torch.Tensor
    ) -> torch.Tensor:
        """Return the batch's mean loss: the labels', and the teacher's, of what it judges, where there is one."""
        config = self.config
        if self.teacher is None:
            return F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        if self.teacher_logits is not None:
            said = self.teacher_logits[chosen]
        else:
            teacher = self.teacher.one() if isinstance(self.teacher, Panel) else self.teacher
            with torch.no_grad(), self.mixed_precision():
                said = teacher(judged).float()
        return distillation_loss(
            logits,
            said,
            labels,
            weight=config.distill_weight,
            temperature=config.temperature,
            label_smoothing=config.label_smoothing,
        )

    def end_epoch(self) -> None:
        """Validate, keep the weights if they are the best, and move on to the next epoch."""
        group = self.group
        group.share_buffers(self.model)
        accuracy = self.validate()
        loss = self.mean_loss()
        if accuracy is None or accuracy >= self.best_accuracy:
            self.best, self.best_epoch, self.best_accuracy = snapshot(self.model), self.epoch, accuracy or 0.0
        self.history.append(Epoch(loss, accuracy, *self.clock(), processor()))
        self.epoch, self.step, self.seen, self.seconds, self.cpu_seconds = self.epoch + 1, 0, 0, 0.0, 0.0
        self.loss.zero_()

    def validate(self) -> float | None:
        """Return the share of the images held out that the model knows, in percent; None where there are none."""
        if not len(self.held_out[1]):
            return None
        group = self.group
        images, labels = (t[group.rank :: group.size] for t in self.held_out)
        correct = torch.tensor(count_correct(self.model, images, labels, self.mean, self.std), device=self.device)
        return 100.0 * int(group.total(correct)) / len(self.held_out[1])

    def mean_loss(self) -> float:
        """Return the epoch's mean loss so far, over all processes.

        Raises
        ------
        TrainingError
            When it is not finite: the weights are lost.
        """
        sums = self.group.total(torch.stack([self.loss, self.loss.new_tensor(float(self.seen))]))
        loss = float(sums[0] / sums[1])
        if loss - loss != 0:
            raise TrainingError(
                f"the loss became {loss} in epoch {self.epoch + 1}: lower lr (now {self.config.lr}), "
                "lengthen warmup, or set clip_norm"
            )
        return loss

    def pause(self, checkpoint: Path | None, asked: bool) -> None:
        """Between two steps: save when it is time, stop when asked to; all processes together."""
        if self.step == self.steps or (self.group.size > 1 and self.step % AGREE_EVERY):
            return
        asked = self.group.any(asked, self.device)
        due = checkpoint is not None and time.monotonic() - self.saved_at >= self.config.checkpoint_seconds
        if checkpoint is not None and (asked or self.group.any(due and self.group.leads, self.device)):
            self.save(checkpoint)
        if asked:
            self.interrupt(checkpoint)

    def interrupt(self, checkpoint: Path | None) -> None:
        """Leave the run, saying how to go on with it."""
        where = f"interrupted in epoch {self.epoch + 1} of {self.config.epochs}"
        if checkpoint is None:
            raise InterruptedTrainingError(f"{where}; without a checkpoint there is nothing to continue from")
        raise InterruptedTrainingError(f"{where}; run the same command again to continue from {checkpoint}")

    def clock(self) -> tuple[float, float]:
        """Return the time that the present epoch has taken, on the wall and of processors, interrupted or not."""
        now, cpu = time.monotonic(), time.process_time()
        self.seconds += now - self.resumed_at
        self.cpu_seconds += cpu - self.resumed_cpu
        self.resumed_at, self.resumed_cpu = now, cpu
        return self.seconds, self.cpu_seconds

    def save(self, checkpoint: Path) -> None:
        """Write all that the rest of the run depends on."""
        began = time.monotonic()
        if self.step:
            self.mean_loss()  # never save weights that are lost
        sums = [self.group.total(t) for t in (self.loss, torch.tensor(self.seen, device=self.device))]
        if self.group.leads:
            state = {
                "run": self.identity,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "best": self.best,
                "best_epoch": self.best_epoch,
                "best_accuracy": self.best_accuracy,
                "epoch": self.epoch,
                "step": self.step,
                "loss": sums[0],
                "seen": int(sums[1]),
                "clock": self.clock(),
                "history": [dataclasses.asdict(epoch) for epoch in self.history],
            }
            save_checkpoint(checkpoint, state)
        self.saved_at = time.monotonic()
        if wait := self.config.checkpoint_seconds:  # a slow disk is written to less often
            self.saved_at += max(0.0, (self.saved_at - began) / SAVING_SHARE - wait)

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint of this very run, if there is one."""
        here = fingerprint(self.model, self.data, self.config, self.teacher, self.group.size)
        shared = self.group.share_bytes(json.dumps(here).encode())  # rank 0's initial weights are the run's
        self.identity = json.loads(shared or b"{}")
        raw = self.group.share_bytes(read_checkpoint(checkpoint) if self.group.leads else None)
        if raw is None:
            return
        state = parse_checkpoint(raw, checkpoint)
        require_same(state.get("run"), self.identity, checkpoint)
        last = state["epoch"] + (state["step"] > 0)
        for self.epoch in range(last):
            self.begin_epoch()
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(f"{checkpoint}: the checkpoint does not fit the model: {error}") from error
        self.epoch, self.step = state["epoch"], state["step"]
        self.seconds, self.cpu_seconds = state["clock"]
        self.best = {name: tensor.to(self.device) for name, tensor in state["best"].items()}
        self.best_epoch, self.best_accuracy = state["best_epoch"], state["best_accuracy"]
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        if self.group.leads:  # the sums are the whole group's already
            self.seen, self.loss = state["seen"], state["loss"].to(self.device)
        self.set_out()


def check_fit(model: nn.Module, data: Data) -> None:
    """Refuse data that cannot be trained on, or that the model does not take.

    Raises
    ------
    TrainingError
        Naming the split and the shape at fault.
    """
    for name, split in (("training", data.train), ("validation", data.validation)):
        images, labels = as_tensor(split.images), as_tensor(split.labels)
        if images.ndim != 4 or images.dtype != torch.uint8 or labels.dtype != torch.int64:
            raise TrainingError(
                f"the {name} split wants uint8 images (N, C, H, W) and int64 labels, "
                f"not {images.dtype} of shape {tuple(images.shape)} and {labels.dtype}"
            )
        if len(images) != len(labels) or (len(labels) == 0 and split is data.train):
            raise TrainingError(f"the {name} split has {len(images)} images and {len(labels)} labels")
    images, labels = as_tensor(data.train.images), as_tensor(data.train.labels)
    try:
        logits = all_logits(model, images[:2], float(data.mean), float(data.std))
    except RuntimeError as error:
        shape = tuple(images.shape[1:])
        raise TrainingError(f"the model does not take images of shape {shape}: {error}") from error
    if logits.ndim != 2 or not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise TrainingError(
            f"labels run from {int(labels.min())} to {int(labels.max())}, "
            f"but the model's output for 2 images has shape {tuple(logits.shape)}"
        )


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Use ``count`` CPU threads for a while."""
    former = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(former)
