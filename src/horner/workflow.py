"""What the verbs `train` and `approximate` do: pipelines that begin and end in files."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.table import Table
from torch import nn

from horner import models, record
from horner.approximation.maps import feature_maps
from horner.data import DataSet
from horner.errors import CompileError, HornerError, ModelError
from horner.evaluation import Run, accuracy, expect_fit, runner
from horner.pipeline import Approximated, Retraining, Say, approximate, calibration_images
from horner.plan import Plan
from horner.presets import OF_THE_RUN, Preset, Retrain
from horner.program.account import account
from horner.program.file import load, save
from horner.program.program import Program
from horner.training import TrainResult, evaluate, predict, recipe, train
from horner.training.spent import spent

Trained = tuple[nn.Module, models.ModelInfo]
"""A dense network and what it was trained on, as `horner.models.load` returns them."""


def train_dense(
    spec: str,
    data: DataSet,
    output: Path,
    *,
    trained: Trained | None = None,
    batch_norm: bool | None = None,
    changes: Mapping[str, Any] | None = None,
    command: str = "",
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Train a dense network and write it; return what happened, accuracies in percent.

    Parameters
    ----------
    spec
        A built-in network, or ``package.module:function``.
    output
        The safetensors file; ``OUTPUT.checkpoint`` beside it keeps an interrupted run.
    trained
        A network to go on from, instead of new weights.
    changes
        Settings of `TrainConfig` that differ from the recipe for such images.
    command
        What was typed, kept in the file.
    """
    changes = changes or {}
    checkpoint = output.with_name(output.name + ".checkpoint")
    if trained is None:
        model = build(spec, data, batch_norm, changes.get("seed", 0))
        info = msgspec.structs.replace(dense_info(spec, data, batch_norm), command=command)
    else:
        model, data = fitting(spec, trained, data, batch_norm)
        former = trained[1]
        info = msgspec.structs.replace(
            former, data=data.name, command=" && ".join(filter(None, (former.command, command)))
        )
    result, _ = _train(model, info, data, output, checkpoint, changes, say)
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
    recording: record.Recording | None = None,
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
        What else `Retraining.like` takes: distill, arrange, fit, steps, real, quantised.
    changes
        Settings of `TrainConfig` that differ from the recipe for such images.
    recording
        Where to record the run, if anywhere; the accuracies of all forms on both splits are then measured.
    show
        Given, before the work, the table of what the plan makes of each layer.
    """
    changes = changes or {}
    checkpoints = output.with_name(output.name + ".checkpoints")
    if trained is None:
        dense = build(spec, data, batch_norm, changes.get("seed", 0))
        info = dense_info(spec, data, batch_norm)
        if recording:
            info = msgspec.structs.replace(info, command=recording.command)
    else:
        dense, data = fitting(spec, trained, data, batch_norm)
        info = trained[1]
    show(plan.table(dense, feature_maps(dense, calibration_images(data, 2))))
    if trained is None:
        file = output.with_suffix(".dense.safetensors")
        _, info = _train(dense, info, data, file, checkpoints / "dense.checkpoint", changes, say)
    config = dataclasses.replace(recipe(data.shape, batch_norm=normalised(dense)), **changes)
    epochs = config.epochs if epochs is None else epochs
    settings = Retraining.like(config, epochs, **(retraining or {})) if epochs else None
    made = approximate(dense, data, plan, settings, checkpoints=checkpoints, say=say)
    save(made.program, output)
    program = load(output)
    measured = measure(dense, made, program, data, ("validation", "test") if recording else ("test",))
    numbers = account(program, output).to_dict()
    numbers = {name: value for name, value in numbers.items() if name not in ("layers", "kernel_row")}
    if recording:
        stages = {"real": settings.real, "quantised": settings.quantised} if settings else {}
        took = {name: spent(made.runs[name], stage) for name, stage in stages.items()}
        run = record.Record(
            command=recording.command,
            dense_command=info.command,
            preset=recording.preset,
            recipe=Preset(
                model=spec,
                data=data.name,
                plan=str(plan),
                batch_norm=normalised(dense),
                dense={name: value for name, value in changes.items() if name not in OF_THE_RUN},
                retraining=Retrain(epochs=epochs, **(retraining or {})),
            ),
            seed=config.seed,
            complete=data.complete,
            images={name: len(getattr(data, name)) for name in ("train", "validation", "test")},
            dense=info.spent,
            retraining=took,
            cost=record.cost(info.spent, took),
            accuracy={name: record.Accuracy(**accuracies) for name, accuracies in measured.items()},
            drop=round(measured["dense"]["test"] - measured["reference"]["test"], 4),
            account=numbers,
            sha256=record.sha256(output),
        )
        record.write(recording.path, run)
        say(f"recorded in {recording.path}")
    shutil.rmtree(checkpoints, ignore_errors=True)
    dense_accuracy, integer = measured["dense"]["test"], measured["reference"]["test"]
    return {
        "file": str(output),
        "data": data.name,
        "source": data.source,
        "n": len(data.test),
        "dense_accuracy": dense_accuracy,
        "accuracy": integer,
        "drop": dense_accuracy - integer,
        "epochs": made.epochs,
        **numbers,
    }


def measure(
    dense: nn.Module, made: Approximated, program: Program, data: DataSet, splits: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return the accuracy of a network's forms on splits: the only place where the test split is read.

    The forms are ``dense`` and ``reference``, the program as NumPy runs it; beside the test split also
    ``approximated``, the network with real coefficients, and ``c``, the program compiled, where there is a compiler.

    Raises
    ------
    HornerError
        When compiled C and reference differ.
    """
    forms: dict[str, Run] = {
        "dense": lambda images: predict(dense, images, data.mean, data.std),
        "reference": runner(program, "reference"),
    }
    if len(splits) > 1:
        forms["approximated"] = lambda images: predict(made.model, images, data.mean, data.std)
        with contextlib.suppress(CompileError):
            forms["c"] = runner(program, "c")
    measured: dict[str, dict[str, float]] = {name: {} for name in forms}
    for split in splits:
        part = getattr(data, split)
        outputs = {name: run(part.images) for name, run in forms.items()}
        if not np.array_equal(outputs["reference"], outputs.get("c", outputs["reference"])):
            raise HornerError("the outputs of the reference and of the compiled C differ; please report this")
        for name in forms:
            measured[name][split] = round(accuracy(outputs[name], part.labels), 6)
    return measured


def fitting(spec: str, trained: Trained, data: DataSet, batch_norm: bool | None) -> tuple[nn.Module, DataSet]:
    """Return a trained network, and the data with pixels as it was trained to read them.

    Raises
    ------
    ModelError, DataError
        When it is not the network asked for, or the images are not those it reads.
    """
    dense, info = trained
    if batch_norm not in (None, normalised(dense)):
        raise ModelError(f"the trained {spec} has {'no ' if batch_norm else ''}batch normalisation")
    expect_fit(f"the trained {spec}", info.shape, info.classes, data)
    return dense, dataclasses.replace(data, mean=round(info.mean), std=info.std)


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
) -> tuple[TrainResult, models.ModelInfo]:
    """Train a network by the recipe for such images, write it, and say how it went."""
    config = dataclasses.replace(recipe(data.shape, batch_norm=normalised(model)), **changes)
    result = train(model, data, config, checkpoint=checkpoint)
    model.cpu()  # what comes next looks at it beside images that are there
    took = msgspec.structs.replace(spent(result, config), before=info.spent)
    info = msgspec.structs.replace(info, accuracy=result.accuracy, spent=took)
    models.save(output, model, info)
    say(
        f"dense: {result.accuracy:.2f} % of {len(data.validation)} validation images after {result.epochs} epochs, "
        f"{result.seconds:.0f} s; kept in {output}"
    )
    return result, info
