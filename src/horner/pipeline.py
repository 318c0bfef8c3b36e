"""From images to a program: train, arrange, approximate, train on, quantise while training, freeze."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from horner.approximation.api import approximate_, fold_
from horner.approximation.arrange import arrange_
from horner.approximation.factored import factored
from horner.approximation.fit import fit_
from horner.approximation.layers import approximated
from horner.approximation.maps import feature_maps
from horner.approximation.norms import share_norms_
from horner.data import DataSet
from horner.errors import ModelError, TrainingError
from horner.evaluation import expect_fit
from horner.frontend.convert import quantised
from horner.frontend.freeze import freeze
from horner.frontend.network import QuantisedNetwork
from horner.frontend.teacher import Teacher
from horner.frontend.thaw import thaw
from horner.plan import Plan
from horner.program.program import Program
from horner.training import Panel, TrainConfig, TrainResult, evaluate, train
from horner.training.evaluate import device_of

CALIBRATION_IMAGES = 1000
REAL_LR, QUANTISED_LR = 0.1, 0.03
"""Largest relative change of a tensor in one step, before and while it is quantised."""
NEW_WEIGHTS: dict[str, Any] = {"optimizer": "muon", "lr": 0.05}
"""Settings of the first stage where weights are drawn anew, and far from where they should be."""
DISTILL_WEIGHT = 0.5
NORM_BIAS = 0.3
"""Standard deviation of a norm's biases where weights are drawn anew."""
FINETUNED_LR = 0.003
"""The same where a program is trained on."""
REFINED: dict[str, Any] = {"optimizer": "muon", "lr": 0.01, "schedule": "one-cycle"}
"""Settings where a program's coefficients, as they were before rounding, are trained on first."""
QUANTISED_SHARE = 0.3
"""Of the epochs."""
LEAST_RMS = 1e-3
"""A tensor of zeros still moves."""
LOG_STEP = 0.03
"""Step size of the logarithm of a quantisation step, as a multiple of the run's."""

Fit = Literal["weights", "activations", "random"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Retraining:
    """How an approximated network is trained on.

    Parameters
    ----------
    real
        The epochs in which coefficients are real numbers.
    quantised
        The epochs in which they, and the activations, are rounded as the program will hold them.
    arrange
        Whether filters are first reordered to suit the plan.
    fit
        `weights` or `activations`: what the least-squares fit that training starts from minimises the error of;
        `random` draws new weights instead.
    steps
        Of gradual tightening: the plan's segments grow to their length in so many steps.
    """

    real: TrainConfig
    quantised: TrainConfig
    arrange: bool = True
    fit: Fit = "weights"
    steps: int = 1

    @classmethod
    def like(
        cls,
        dense: TrainConfig,
        epochs: int,
        distill: float = DISTILL_WEIGHT,
        real: Mapping[str, Any] | None = None,
        quantised: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Retraining:
        """Return settings that go with those of the dense network: its batches, images, seed and device.

        Weights drawn anew (`fit` is `random`) are trained by Muon in large steps, others by AdamW in small ones.

        Parameters
        ----------
        epochs
            All stages together; three in ten are quantised, unless `quantised` says how many.
        distill
            Share of the dense network's opinion in the loss, 0 to 1.
        real, quantised
            Settings of `TrainConfig` that differ in that stage.
        changes
            Of the other fields.
        """
        if epochs < 2:
            raise TrainingError(f"retraining takes at least 2 epochs, one of each stage, not {epochs}")
        real, quantised = dict(real or {}), dict(quantised or {})
        if "epochs" in real:
            raise TrainingError("the real stage has the epochs that the quantised one leaves; give only that one's")
        last = quantised.setdefault("epochs", max(1, round(epochs * QUANTISED_SHARE)))
        if not 1 <= last < epochs:
            raise TrainingError(f"{last} of {epochs} epochs quantised; each stage takes at least one")
        base = gentle(dense, distill)
        usual = NEW_WEIGHTS if changes.get("fit") == "random" else {"lr": REAL_LR}
        first = dataclasses.replace(base, **{"epochs": epochs - last} | usual | real)
        return cls(first, dataclasses.replace(base, **{"lr": QUANTISED_LR} | quantised), **changes)


def gentle(dense: TrainConfig, distill: float) -> TrainConfig:
    """Return how what is approximated already is trained on: as the dense network, but by AdamW and without decay.

    Parameters
    ----------
    distill
        Share of what teachers say in the loss, 0 to 1.
    """
    return dataclasses.replace(
        dense,
        optimizer="adamw",
        schedule="cosine",
        warmup=0.1,
        weight_decay=0.0,
        clip_norm=None,
        distill_weight=distill,
    )


@dataclass(frozen=True)
class Unrounded:
    """What a program was before its coefficients were rounded, and what becomes of it.

    Parameters
    ----------
    model
        The approximated network, real coefficients, parametrizations in place; it is trained in place.
    plan
        By which it is approximated and rounded.
    config
        How it is trained before that, if it is.
    """

    model: nn.Module
    plan: Plan
    config: TrainConfig | None = None


@dataclass
class Approximated:
    """What `approximate` made.

    Parameters
    ----------
    arranged
        The dense network, its filters in the order in which they were approximated.
    model
        The approximated network, real coefficients, parametrizations in place.
    network
        The same as the program computes it, roundings simulated.
    program
        The program itself.
    runs
        What the trainer reported, stage by stage.
    """

    arranged: nn.Module
    model: nn.Module
    network: QuantisedNetwork
    program: Program
    runs: dict[str, TrainResult] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """Epochs of retraining, all stages together."""
        return sum(run.epochs for run in self.runs.values())


def approximate(
    dense: nn.Module,
    data: DataSet,
    plan: Plan,
    retraining: Retraining | None,
    *,
    checkpoints: Path | None = None,
    say: Say = lambda line: None,
    progress: bool = True,
) -> Approximated:
    """Approximate a trained network by a plan and return the program of it.

    Parameters
    ----------
    dense
        The trained network; it is not changed, and is the teacher where the settings ask for distillation.
    data
        Its training split trains and calibrates, its validation split selects; its test split is not read.
    plan
        What to approximate and how.
    retraining
        How to train on; None for none at all: the activation-aware fit alone.
    checkpoints
        A folder in which an interrupted run is kept, to go on from.
    say
        Called with one line at every stage.
    """
    calibration = calibration_images(data)
    example = calibration[:2]
    model = copy.deepcopy(dense)
    if retraining is None or retraining.arrange:
        moved = arrange_(model, example, plan)
        say(f"filters rearranged in {len(moved)} layers" if moved else "filters left in their order")
    original = copy.deepcopy(model)
    runs: dict[str, TrainResult] = {}
    if retraining is None:
        parametrise_(model, plan, example)
        if approximated(model):
            fit_(model, calibration, original)
        network = quantised(model, calibration, plan, (data.mean, data.std))
        return Approximated(original, model, network, freeze(network), runs)

    if retraining.fit == "random":
        model = redrawn(model, retraining.real.seed)
    tightening = Tightening(model, plan, retraining.steps, example)
    parametrise_(model, plan, example, tightening.plans[0])
    if retraining.fit == "activations" and approximated(model):
        fit_(model, calibration, original)
    stage = functools.partial(_train, data=data, teacher=original, checkpoints=checkpoints, say=say, progress=progress)
    runs["real"] = stage(model, retraining.real, name="real", hook=tightening if retraining.steps > 1 else None)
    network = quantised(model, calibration, plan, (data.mean, data.std))
    runs["quantised"] = stage(network, retraining.quantised, name="quantised")
    return Approximated(original, model, network, freeze(network), runs)


def finetune(
    program: Program,
    data: DataSet,
    config: TrainConfig,
    teachers: Sequence[Program] = (),
    *,
    unrounded: Unrounded | None = None,
    checkpoints: Path | None = None,
    say: Say = lambda line: None,
    progress: bool = True,
) -> tuple[Program, dict[str, TrainResult]]:
    """Train a program on; return the better one (or the one rounded anew), and what the trainer reported of each stage.

    Parameters
    ----------
    program
        It is not changed. As it was, it is one of the teachers, so that it forgets nothing (Li & Hoiem, "Learning
        without forgetting", 2016); of what begins with real coefficients, those are while it is rounded.
    data
        Its training split trains, its validation split selects; its test split is not read. Pixels enter as the
        program reads them. With no validation images the last epoch's program is returned, whatever it is like.
    config
        The settings; with `distill_weight` 0 nobody teaches.
    teachers
        More of them: programs for such images and as many classes. Their logits are scaled to the spread of its own.
    unrounded
        What to begin with instead of the program's integers: its real coefficients, to be rounded anew.
    checkpoints
        A folder in which an interrupted run is kept, to go on from.

    Raises
    ------
    DataError
        When the images are not those that a program reads.
    ModelError
        When a program cannot be trained on, or does not read pixels.
    """
    members = [program, *teachers] if config.distill_weight else [program]
    for number, member in enumerate(members):
        name = f"teacher {number}" if number else "the program"
        expect_fit(name, member.input.shape, member.output.size, data)
        if not member.input.pixels:
            raise ModelError(f"{name} was not trained on plain pixels, so that how images enter it is not known")
    before = thaw(program)
    data = as_read(program, data)
    itself, *others = (Teacher(member, program.input) for member in members)
    images = calibration_images(data)

    stage = functools.partial(_train, data=data, checkpoints=checkpoints, say=say, progress=progress)

    def panel_of(first: nn.Module) -> Panel:
        return Panel([first, *(other.match_spread(first, images) for other in others)], config.temperature)

    runs: dict[str, TrainResult] = {}
    first: nn.Module = itself
    if unrounded is None:
        network = copy.deepcopy(before)
    else:
        if unrounded.config:
            runs["refined"] = stage(unrounded.model, unrounded.config, name="refined", teacher=panel_of(itself))
        network = quantised(unrounded.model, images, unrounded.plan, (data.mean, data.std))
        first = copy.deepcopy(unrounded.model).eval().requires_grad_(False)
    with factored(first):
        runs["finetuned"] = stage(network, config, name="finetuned", teacher=panel_of(first))
    now = runs["finetuned"].accuracy
    if now is not None and (was := evaluate(before, data.validation, data.mean, data.std)) > now:
        say(f"the program as it was has {was:.2f} %{'' if unrounded else ' and stays'}")
        if unrounded is None:
            return program, runs
    return freeze(network), runs


def as_read(program: Program, data: DataSet) -> DataSet:
    """Return images whose pixels enter as a program that reads pixels was trained to read them."""
    return dataclasses.replace(data, mean=program.input.zero_point + 128, std=1 / program.input.scale)


def parametrise_(model: nn.Module, plan: Plan, example: torch.Tensor, loose: Plan | None = None) -> None:
    """Turn a dense network into one that training approximates, in place: norms as the plan stores them, then weights.

    Parameters
    ----------
    example
        Images as the model takes them.
    loose
        What the weights follow at first, if not the plan itself.
    """
    share_norms_(model, example, plan.match(model, maps=feature_maps(model, example)))
    approximate_(model, loose or plan, example=example)


def calibration_images(data: DataSet, count: int = CALIBRATION_IMAGES) -> torch.Tensor:
    """Return the first training images, normalised as for training, float32 ``(count, c, h, w)``."""
    return (torch.from_numpy(np.array(data.train.images[:count])).float() - data.mean) / data.std


def relative_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Give every tensor of weights, coefficients, biases and scales a step size in proportion to its own size.

    ``lr`` is then a relative change: what a step of Adam moves, over the tensor's root mean square. Norms' own
    parameters, near 1 or 0 by design, and logarithms of quantisation steps keep absolute ones.
    """
    absolute = {
        id(p) for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) for p in m.parameters()
    }
    groups = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rms = float(parameter.detach().double().square().mean().sqrt())
        if id(parameter) in absolute:
            scale = 1.0
        elif ".log_" in name:
            scale = LOG_STEP
        else:
            scale = max(rms, LEAST_RMS)
        groups.append({"params": [parameter], "lr": scale, "weight_decay": 0.0})
    return groups


def redrawn(model: nn.Module, seed: int) -> nn.Module:
    """Return a copy with every parameter drawn anew, as its module does when it is made.

    Norms begin with random biases: filters of one segment differ by little, and these tell them apart.
    """
    model = copy.deepcopy(model)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        for module in model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.bias is not None:
                nn.init.normal_(module.bias, std=NORM_BIAS)
    return model


class Tightening:
    """Gradual tightening, as the trainer's epoch hook: the plan's segments grow to their length in steps.

    Parameters
    ----------
    steps
        Plans gone through, each for as many epochs; 1 is the plan itself from the start.
    """

    def __init__(self, model: nn.Module, plan: Plan, steps: int, example: torch.Tensor) -> None:
        self.plans = plan.tighten(model, steps, feature_maps(model, example))
        self.example = example
        self.now = 0

    def __call__(self, model: nn.Module, epoch: int, epochs: int) -> bool:
        """Refit a model to the plan of an epoch; return whether that is another than before."""
        wanted = min(epoch * len(self.plans) // epochs, len(self.plans) - 1)
        if wanted == self.now:
            return False
        self.now = wanted
        fold_(model)
        approximate_(model, self.plans[wanted], example=self.example.to(device_of(model)))
        return True


def _train(
    model: nn.Module,
    config: TrainConfig,
    *,
    name: str,
    data: DataSet,
    teacher: nn.Module,
    checkpoints: Path | None,
    say: Say,
    progress: bool,
    hook: Tightening | None = None,
) -> TrainResult:
    with factored(model):
        result = train(
            model,
            data,
            config,
            teacher=teacher if config.distill_weight > 0 else None,
            checkpoint=checkpoints / f"{name}.checkpoint" if checkpoints else None,
            progress=progress,
            parameter_groups=relative_groups,
            epoch_hook=hook,
        )
    model.cpu()  # a GPU has done its part; the images that the next stage is calibrated on are not there
    say(f"{name}: {result}")
    return result
