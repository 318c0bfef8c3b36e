"""What a plan is worth, found out in the order of its price: fit, activation-aware fit, a short retraining.

After each of the first two a candidate is given up when it is hopeless: when most of what was tried so far, and
cost no more, fits better.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from horner.approximation.api import approximate_
from horner.approximation.arrange import arrange_
from horner.approximation.fit import fit_
from horner.approximation.layers import approximated
from horner.data import DataSet
from horner.data.dataset import stratified
from horner.frontend.convert import quantised
from horner.frontend.freeze import freeze
from horner.pipeline import Approximated, approximate, calibration_images
from horner.plan import weighted
from horner.program.account import account
from horner.program.program import Program
from horner.search.space import Candidate
from horner.training import TrainConfig, evaluate

Objective = Literal["bytes", "operations", "coefficients"]
OBJECTIVES: tuple[Objective, ...] = ("bytes", "operations", "coefficients")

CALIBRATION_IMAGES = 200
LEAST = 8
"""Candidates as cheap that there must be to judge by."""
MOST_BETTER = 0.75
"""Share of them that may fit better."""

Measured = dict[str, tuple[float, float]]
"""By stage: relative squared error and cost."""
WEIGHTS, ACTIVATIONS = "weights", "activations"


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate.

    Parameters
    ----------
    measured
        Error and cost of the stages it went through.
    drop, cost
        After the short retraining; None where it did not come to that.
    pruned
        Why it was given up, or nothing.
    """

    measured: Measured
    drop: float | None = None
    cost: float | None = None
    pruned: str = ""


@dataclass(frozen=True)
class Proxies:
    """Measures candidates for one dense network.

    Parameters
    ----------
    dense
        Trained.
    data
        Its validation split judges; the test split is not read.
    config
        The dense network's settings, which retraining follows.
    epochs
        Of the short retraining; 0 for none.
    images
        Training images that it uses.
    """

    dense: nn.Module
    data: DataSet
    config: TrainConfig
    objective: Objective
    epochs: int
    images: int

    @functools.cached_property
    def dense_accuracy(self) -> float:
        """Of the dense network, on the validation images, in percent."""
        return evaluate(self.dense, self.data.validation, self.data.mean, self.data.std)

    @functools.cached_property
    def calibration(self) -> Tensor:
        """Images for the activation-aware fit."""
        return calibration_images(self.data, CALIBRATION_IMAGES)

    @functools.cached_property
    def short(self) -> DataSet:
        """The data with fewer training images, every class keeping its share."""
        train = self.data.train
        if self.images >= len(train):
            return self.data
        return dataclasses.replace(self.data, train=train.select(stratified(train.labels, self.images, 0)))

    def measure(self, candidate: Candidate, others: Sequence[Measured]) -> Outcome:
        """Take a candidate through the stages; `others` are those of the candidates before it."""
        measured: Measured = {}
        model = copy.deepcopy(self.dense)
        approximate_(model, candidate.plan, example=self.calibration[:2])
        program = freeze(quantised(model, self.calibration, candidate.plan, (self.data.mean, self.data.std)))
        measured[WEIGHTS] = weight_error(model, self.dense), cost(program, self.objective)
        judged = candidate.fit != "random"  # new weights owe nothing to how well the old ones are fitted
        if judged and hopeless(WEIGHTS, measured, others):
            return Outcome(measured, pruned="its weights fit worse than most that cost no more")

        arranged = copy.deepcopy(self.dense)
        if candidate.arrange:
            arrange_(arranged, self.calibration[:2], candidate.plan)
        if approximated(model):
            model = approximate_(copy.deepcopy(arranged), candidate.plan, example=self.calibration[:2])
            fits = fit_(model, self.calibration, arranged)
            error = sum(fit.after for fit in fits.values()) / len(fits)
        else:
            error = 0.0
        measured[ACTIVATIONS] = error, measured[WEIGHTS][1]
        if judged and hopeless(ACTIVATIONS, measured, others):
            return Outcome(measured, pruned="its outputs fit worse than those of most that cost no more")

        made = retrain(arranged, self.short, dataclasses.replace(candidate, arrange=False), self.config, self.epochs)
        accuracy = evaluate(made.network, self.data.validation, self.data.mean, self.data.std)
        return Outcome(measured, self.dense_accuracy - accuracy, cost(made.program, self.objective))


def retrain(
    dense: nn.Module,
    data: DataSet,
    candidate: Candidate,
    config: TrainConfig,
    epochs: int,
    checkpoints: Path | None = None,
) -> Approximated:
    """Approximate a network by a candidate's plan and train it on by the candidate's settings."""
    settings = candidate.retraining(config, epochs)
    return approximate(dense, data, candidate.plan, settings, checkpoints=checkpoints, progress=False)


def hopeless(stage: str, measured: Measured, others: Sequence[Measured]) -> bool:
    """Return whether most of the candidates that cost no more have a lower error at a stage.

    >>> others = [{"weights": (0.1, 100.0)}] * 8
    >>> hopeless("weights", {"weights": (0.5, 120.0)}, others), hopeless("weights", {"weights": (0.5, 90.0)}, others)
    (True, False)
    """
    error, price = measured[stage]
    rivals = [other[stage][0] for other in others if stage in other and other[stage][1] <= price]
    return len(rivals) >= LEAST and sum(rival < error for rival in rivals) > MOST_BETTER * len(rivals)


def weight_error(model: nn.Module, dense: nn.Module) -> float:
    """Return the mean over the approximated layers of the squared error of the weights, relative to their square."""
    errors = []
    for name, (module, _) in approximated(model).items():
        weight = weighted(dense)[name].weight.detach()
        error = (module.weight.detach() - weight).square().sum() / weight.square().sum().clamp_min(1e-30)
        errors.append(float(error))
    return sum(errors) / len(errors) if errors else 0.0


def cost(program: Program, objective: Objective) -> float:
    """Return what a program costs: exact counts of the program itself, not estimates."""
    numbers = account(program)
    if objective == "bytes":
        return float(numbers.file_bytes)
    if objective == "operations":
        return float(numbers.multiplications + numbers.additions)
    return float(numbers.coefficients)
