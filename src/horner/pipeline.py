"""From images to a program: train, arrange, approximate, train on, quantise while training, freeze."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from horner.approximation.api import approximate_
from horner.approximation.arrange import arrange_
from horner.approximation.fit import fit_
from horner.data import DataSet
from horner.frontend.convert import quantised
from horner.frontend.freeze import freeze
from horner.frontend.network import QuantisedNetwork
from horner.plan import Plan
from horner.program.program import Program
from horner.training import TrainConfig, TrainResult, train

CALIBRATION_IMAGES = 1000

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
    fit: str = "weights"
    steps: int = 1


@dataclass
class Approximated:
    """What `approximate` made.

    Parameters
    ----------
    model
        The approximated network, real coefficients, parametrizations in place.
    network
        The same as the program computes it, roundings simulated.
    program
        The program itself.
    runs
        What the trainer reported, stage by stage.
    """

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
    model = copy.deepcopy(dense)
    if retraining is None or retraining.arrange:
        moved = arrange_(model, calibration[:2], plan)
        say(f"filters rearranged in {len(moved)} layers" if moved else "filters left in their order")
    runs: dict[str, TrainResult] = {}
    if retraining is None:
        original = copy.deepcopy(model)
        approximate_(model, plan, example=calibration[:2])
        fit_(model, calibration, original)
        network = quantised(model, calibration, plan, (data.mean, data.std))
        return Approximated(model, network, freeze(network), runs)

    original = copy.deepcopy(model)
    if retraining.fit == "random":
        model = redrawn(model, retraining.real.seed)
    approximate_(model, plan, example=calibration[:2])
    if retraining.fit == "activations":
        fit_(model, calibration, original)
    runs["real"] = _train(model, data, retraining.real, original, checkpoints, "real", say, progress)
    network = quantised(model, calibration, plan, (data.mean, data.std))
    runs["quantised"] = _train(network, data, retraining.quantised, original, checkpoints, "quantised", say, progress)
    return Approximated(model, network, freeze(network), runs)


def calibration_images(data: DataSet, count: int = CALIBRATION_IMAGES) -> torch.Tensor:
    """Return the first training images, normalised as for training, float32 ``(count, c, h, w)``."""
    return (torch.from_numpy(np.array(data.train.images[:count])).float() - data.mean) / data.std


def redrawn(model: nn.Module, seed: int) -> nn.Module:
    """Return a copy with every parameter drawn anew, as its module does when it is made."""
    model = copy.deepcopy(model)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        for module in model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return model


def _train(
    model: nn.Module,
    data: DataSet,
    config: TrainConfig,
    teacher: nn.Module,
    checkpoints: Path | None,
    stage: str,
    say: Say,
    progress: bool,
) -> TrainResult:
    result = train(
        model,
        data,
        config,
        teacher=teacher if config.distill_weight > 0 else None,
        checkpoint=checkpoints / f"{stage}.checkpoint" if checkpoints else None,
        progress=progress,
    )
    say(
        f"{stage}: {result.accuracy:.2f} % of the validation images after {result.epochs} epochs, "
        f"{result.seconds:.0f} s"
    )
    return result
