"""What the verbs `train` and `approximate` do: pipelines that begin and end in files."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table
from torch import nn

from horner import models
from horner.approximation.maps import feature_maps
from horner.data import DataSet
from horner.errors import ModelError
from horner.evaluation import accuracy, expect_fit, runner
from horner.pipeline import Approximated, Retraining, Say, approximate, calibration_images
from horner.plan import Plan
from horner.program.account import account
from horner.program.file import load, save
from horner.training import TrainResult, evaluate, recipe, train

Trained = tuple[nn.Module, models.ModelInfo]
"""A dense network and what it was trained on, as `horner.models.load` returns them."""


def train_dense(
    spec: str,
    data: DataSet,
    output: Path,
    *,
    batch_norm: bool | None = None,
    changes: Mapping[str, Any] | None = None,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Train a dense network and write it; return what happened, accuracies in percent.

    Parameters
    ----------
    spec
        A built-in network, or ``package.module:function``.
    output
        The safetensors file; ``OUTPUT.checkpoint`` beside it keeps an interrupted run.
    changes
        Settings of `TrainConfig` that differ from the recipe for such images.
    """
    changes = changes or {}
    checkpoint = output.with_name(output.name + ".checkpoint")
    model = build(spec, data, batch_norm, changes.get("seed", 0))
    result = _train(model, dense_info(spec, data, batch_norm), data, output, checkpoint, changes, say)
    tested = evaluate(model, data.test, data.mean, data.std)
    checkpoint.unlink(missing_ok=True)
    return {
        "file": str(output),
        "model": spec,
        "data": data.name,
        "source": data.source,
        "parameters": sum(p.numel() for p in model.parameters()),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "seconds": round(result.seconds, 1),
        "validation_accuracy": result.accuracy,
        "accuracy": tested,
        "n": len(data.test),
    }


def approximate_to_file(
    spec: str,
    data: DataSet,
    plan: Plan,
    output: Path,
    *,
    trained: Trained | None = None,
    batch_norm: bool | None = None,
    epochs: int | None = None,
    retraining: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    show: Callable[[Table], None] = lambda table: None,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Approximate a network, write the `.horner` file, and return its numbers beside the dense network's.

    Parameters
    ----------
    output
        The file; the folder ``OUTPUT.checkpoints`` beside it keeps an interrupted run.
    trained
        The dense network. Without it one is trained first, and kept beside the output.
    epochs
        Of retraining, all stages together; 0 for the activation-aware fit alone.
    retraining
        What else `Retraining.like` takes: distill, arrange, fit, steps.
    changes
        Settings of `TrainConfig` that differ from the recipe for such images.
    show
        Given, before the work, the table of what the plan makes of each layer.
    """
    changes = changes or {}
    checkpoints = output.with_name(output.name + ".checkpoints")
    if trained is None:
        dense = build(spec, data, batch_norm, changes.get("seed", 0))
    else:
        dense, info = trained
        if batch_norm not in (None, normalised(dense)):
            raise ModelError(f"the trained {spec} has {'no ' if batch_norm else ''}batch normalisation")
        expect_fit(f"the trained {spec}", info.shape, info.classes, data)
        data = dataclasses.replace(data, mean=round(info.mean), std=info.std)  # pixels as it was trained to read them
    show(plan.table(dense, feature_maps(dense, calibration_images(data, 2))))
    if trained is None:
        file = output.with_suffix(".dense.safetensors")
        _train(dense, dense_info(spec, data, batch_norm), data, file, checkpoints / "dense.checkpoint", changes, say)
    config = dataclasses.replace(recipe(data.shape, batch_norm=normalised(dense)), **changes)
    epochs = config.epochs if epochs is None else epochs
    settings = Retraining.like(config, epochs, **(retraining or {})) if epochs else None
    made = approximate(dense, data, plan, settings, checkpoints=checkpoints, say=say)
    report = finish(dense, made, data, output)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return report


def finish(dense: nn.Module, made: Approximated, data: DataSet, output: Path) -> dict[str, Any]:
    """Write the program and measure what the file holds: the only place where the test split is read."""
    save(made.program, output)
    program = load(output)
    numbers = account(program, output).to_dict()
    dense_accuracy = evaluate(dense, data.test, data.mean, data.std)
    integer = accuracy(runner(program, "reference")(data.test.images), data.test.labels)
    return {
        "file": str(output),
        "data": data.name,
        "source": data.source,
        "n": len(data.test),
        "dense_accuracy": dense_accuracy,
        "accuracy": integer,
        "drop": dense_accuracy - integer,
        "epochs": made.epochs,
        **{name: value for name, value in numbers.items() if name not in ("layers", "kernel_row")},
    }


def build(spec: str, data: DataSet, batch_norm: bool | None, seed: int) -> nn.Module:
    """Build a network for a data set's images and classes, its weights drawn from a seed."""
    return models.build(spec, batch_norm=batch_norm, shape=data.shape, classes=len(data.classes), seed=seed)


def normalised(model: nn.Module) -> bool:
    """Return whether a network has batch normalisation, chosen or by its nature.

    >>> normalised(models.build("lenet5")), normalised(models.build("resnet20", shape=(3, 32, 32)))
    (False, True)
    """
    return any(isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) for module in model.modules())


def dense_info(spec: str, data: DataSet, batch_norm: bool | None, validation: float | None = None) -> models.ModelInfo:
    """Describe a trained network, for its file."""
    return models.ModelInfo(
        spec=spec,
        batch_norm=batch_norm,
        shape=data.shape,
        classes=len(data.classes),
        data=data.name,
        mean=float(data.mean),
        std=float(data.std),
        accuracy=validation,
    )


def _train(
    model: nn.Module,
    info: models.ModelInfo,
    data: DataSet,
    output: Path,
    checkpoint: Path,
    changes: Mapping[str, Any],
    say: Say,
) -> TrainResult:
    """Train a network by the recipe for such images, write it, and say how it went."""
    config = dataclasses.replace(recipe(data.shape, batch_norm=normalised(model)), **changes)
    result = train(model, data, config, checkpoint=checkpoint)
    model.cpu()  # what comes next looks at it beside images that are there
    models.save(output, model, msgspec.structs.replace(info, accuracy=result.accuracy))
    say(
        f"dense: {result.accuracy:.2f} % of {len(data.validation)} validation images after {result.epochs} epochs, "
        f"{result.seconds:.0f} s; kept in {output}"
    )
    return result
