"""What the verbs `train` and `approximate` do: pipelines that begin and end in files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from horner import models
from horner.data import DataSet
from horner.errors import ModelError
from horner.evaluation import accuracy, runner
from horner.pipeline import Approximated, Retraining, Say, approximate
from horner.plan import Plan
from horner.program.account import account
from horner.program.file import save
from horner.training import TrainConfig, evaluate, recipe, train


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
    config = dataclasses.replace(recipe(data.shape, batch_norm=bool(batch_norm)), **(changes or {}))
    model = build(spec, data, batch_norm, config.seed)
    checkpoint = output.with_name(output.name + ".checkpoint")
    result = train(model, data, config, checkpoint=checkpoint)
    models.save(output, model, dense_info(spec, data, batch_norm, result.accuracy))
    checkpoint.unlink(missing_ok=True)
    tested = evaluate(model, data.test, data.mean, data.std)
    say(f"dense: {tested:.2f} % of {len(data.test)} test images after {result.epochs} epochs, {result.seconds:.0f} s")
    return {
        "model": spec,
        "data": data.name,
        "source": data.source,
        "parameters": sum(p.numel() for p in model.parameters()),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "seconds": round(result.seconds, 1),
        "validation_accuracy": result.accuracy,
        "accuracy": tested,
        "file": str(output),
    }


def approximate_to_file(
    spec: str,
    data: DataSet,
    plan: str | Plan,
    output: Path,
    *,
    source: Path | None = None,
    bits: int | None = None,
    batch_norm: bool | None = None,
    epochs: int | None = None,
    changes: Mapping[str, Any] | None = None,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Approximate a network, write the `.horner` file, and return its numbers beside the dense network's.

    Parameters
    ----------
    source
        The trained dense network; without it one is trained first and kept beside the output.
    bits
        Per coefficient, for layers whose plan names none.
    epochs
        Of retraining, all stages together; 0 for the activation-aware fit alone.
    """
    parsed = Plan.parse(plan) if bits is None else Plan.parse(plan).with_bits(bits)
    if source is None:
        source = output.with_suffix(".dense.safetensors")
        train_dense(spec, data, source, batch_norm=batch_norm, changes=changes, say=say)
    dense, info = models.load(source, spec=spec)
    if info.shape != data.shape:
        raise ModelError(f"{source} reads images of shape {info.shape}, {data.name} has {data.shape}")
    parsed.match(dense)
    made = approximate(
        dense,
        data,
        parsed,
        retraining(recipe(data.shape, batch_norm=bool(info.batch_norm)), epochs, changes or {}),
        checkpoints=output.with_suffix(".checkpoints"),
        say=say,
    )
    return finish(dense, made, data, output)


def finish(dense: nn.Module, made: Approximated, data: DataSet, output: Path) -> dict[str, Any]:
    """Write the program and measure it: the only place where the test split is read."""
    save(made.program, output)
    numbers = account(made.program, output).to_dict()
    dense_accuracy = evaluate(dense, data.test, data.mean, data.std)
    integer = accuracy(runner(made.program, "reference")(data.test.images), data.test.labels)
    return {
        "file": str(output),
        "data": data.name,
        "source": data.source,
        "dense_accuracy": dense_accuracy,
        "accuracy": integer,
        "drop": dense_accuracy - integer,
        "epochs": made.epochs,
        **{name: value for name, value in numbers.items() if name != "layers"},
    }


def retraining(dense: TrainConfig, epochs: int | None, changes: Mapping[str, Any]) -> Retraining | None:
    """Divide the epochs of retraining, by default as many as the dense network's, into their stages."""
    total = dense.epochs if epochs is None else epochs
    if total == 0:
        return None
    quantised = max(1, round(total * 0.3))
    base = dataclasses.replace(dense, **changes)
    return Retraining(
        real=dataclasses.replace(base, epochs=max(1, total - quantised)),
        quantised=dataclasses.replace(base, epochs=quantised, lr=base.lr / 4, warmup=0.0),
    )


def build(spec: str, data: DataSet, batch_norm: bool | None, seed: int) -> nn.Module:
    """Build a network for a data set's images and classes, its weights drawn from a seed."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return models.build(spec, batch_norm=batch_norm, shape=data.shape, classes=len(data.classes))


def dense_info(spec: str, data: DataSet, batch_norm: bool | None, validation: float) -> models.ModelInfo:
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
