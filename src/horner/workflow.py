"""What the verbs `train`, `approximate` and `finetune` do: pipelines that begin and end in files."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from rich.table import Table
from torch import nn

from horner import __version__, models, record, zoo
from horner._files import read_bytes, write_atomic
from horner.approximation.api import approximate_, fold_, layer_plans
from horner.approximation.maps import feature_maps
from horner.data import DataSet
from horner.errors import CompileError, FileError, HornerError, ModelError, PlanError, TrainingError
from horner.evaluation import Run, accuracy, expect_fit, runner
from horner.pipeline import (
    Retraining,
    Say,
    Unrounded,
    approximate,
    as_read,
    calibration_images,
    finetune,
    parametrise_,
)
from horner.plan import Plan
from horner.presets import OF_THE_RUN, Finetune, Preset, Retrain
from horner.program.account import account
from horner.program.file import load, save
from horner.program.program import Program
from horner.training import TrainConfig, TrainResult, evaluate, predict, recipe, train
from horner.training.checkpoint import parse_checkpoint, read_checkpoint
from horner.training.fingerprint import require_same
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
    real: Path | None = None,
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
    real
        Where to keep the coefficients as they were before they were rounded, to train the file on from, if anywhere.
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
    if real and not settings:
        raise TrainingError("without retraining no coefficients are trained that could be kept: give it epochs")
    made = approximate(dense, data, plan, settings, checkpoints=checkpoints, say=say)
    save(made.program, output)
    program = load(output)
    networks = {"dense": dense, "approximated": made.model} if recording else {"dense": dense}
    forms = {name: run_of(network, data) for name, network in networks.items()}
    measured = measure(program, data, _splits(recording), forms)
    numbers = totals(program, output)
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
    if real:
        write_atomic(real, read_bytes(checkpoints / "real.checkpoint"))
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


def finetune_to_file(
    file: Path,
    data: DataSet,
    tuning: Finetune,
    output: Path,
    *,
    base: TrainConfig | None = None,
    changes: Mapping[str, Any] | None = None,
    former: record.Record | None = None,
    real: Path | None = None,
    recording: record.Recording | None = None,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Train a program on, write the better one, and return its numbers beside those of the program as it was.

    Parameters
    ----------
    file
        The program; it stays as it is.
    tuning
        How it is trained, and by whom it is taught.
    output
        The file; the folder ``OUTPUT.checkpoints`` beside it keeps an interrupted run.
    base
        Settings that those of `tuning` differ from; by default the recipe for such images.
    changes
        Settings of `TrainConfig` that belong to this run, such as the seed.
    former
        The record of the run that made `file`.
    real
        Real coefficients of that run, as `approximate_to_file` keeps them, to begin with; takes `former`.
    recording
        Where to record both runs as one, if anywhere, which takes `former`.

    Raises
    ------
    FileError
        When `former` is the record of another file or of other images, or missing; when `real` is of another run.
    PlanError
        When the plan of `tuning` is for other norms than the run's.
    """
    if former and former.sha256 != record.sha256(file):
        raise FileError(f"the record given is that of another file than {file}: the SHA-256 differ")
    if recording and not former:
        raise FileError(f"to record this run, give the record of the one that made {file} too (--former)")
    if recording and former and former.recipe.finetuning:
        raise FileError(
            f"{file} was fine-tuned already, and a record tells of one fine-tuning: leave out --record, or begin with "
            "the file as it was before"
        )
    if (recording or real) and former and former.recipe.data != data.name:
        raise FileError(f"a record is of one set of images: {file} was made from {former.recipe.data}, not {data.name}")
    base = dataclasses.replace(base or recipe(data.shape, batch_norm=True), **(changes or {}))
    config, refining = tuning.training(base), tuning.refining(base)
    unrounded = None
    if real and former and tuning.real is not None:
        model, plan = _unrounded(former, data, real), Plan.parse(tuning.plan or former.recipe.plan)
        _refit(model, plan, calibration_images(data, 2))
        unrounded = Unrounded(model, plan, refining)
    elif real or tuning.plan or tuning.real is not None:
        raise TrainingError(
            "to begin with real coefficients, or by another plan, takes their file (--real) and the record of the run "
            "that they are from (--former)"
        )
    checkpoints = output.with_name(output.name + ".checkpoints")
    program = load(file)
    teachers = [load(zoo.find(teacher)) for teacher in tuning.teachers]
    better, runs = finetune(program, data, config, teachers, unrounded=unrounded, checkpoints=checkpoints, say=say)
    save(better, output)
    better = load(output)
    forms: dict[str, Run] = {} if former else {"before": runner(program, "reference")}
    if recording and unrounded:
        forms["approximated"] = run_of(unrounded.model, as_read(program, data))
    measured = measure(better, data, _splits(recording), forms)
    numbers = totals(better, output)
    if recording and former:
        settings = {"finetuned": config, **({"refined": refining} if refining else {})}
        took = {**former.retraining, **{name: spent(run, settings[name]) for name, run in runs.items()}}
        accuracies = {name: record.Accuracy(**found) for name, found in measured.items()}
        run = msgspec.structs.replace(
            former,
            horner=__version__,
            command=f"{former.command} && {recording.command}",
            preset=recording.preset,
            recipe=msgspec.structs.replace(former.recipe, finetuning=tuning),
            retraining=took,
            cost=record.cost(former.dense, took),
            accuracy={**former.accuracy, **accuracies},
            drop=round(former.accuracy["dense"].test - measured["reference"]["test"], 4),
            account=numbers,
            sha256=record.sha256(output),
        )
        record.write(recording.path, run)
        say(f"recorded in {recording.path}")
    shutil.rmtree(checkpoints, ignore_errors=True)
    return {
        "file": str(output),
        "data": data.name,
        "source": data.source,
        "n": len(data.test),
        "accuracy_before": former.accuracy["reference"].test if former else measured["before"]["test"],
        "accuracy": measured["reference"]["test"],
        "epochs": sum(run.epochs for run in runs.values()),
        **numbers,
    }


def _unrounded(former: record.Record, data: DataSet, checkpoint: Path) -> nn.Module:
    """Return the approximated network of a recorded run, its coefficients still real."""
    took = former.retraining.get("real")
    if took is None:
        raise FileError(f"the run that {checkpoint} should be of had no epochs with real coefficients")
    raw = read_checkpoint(checkpoint)
    if raw is None:
        raise FileError(f"there is no file {checkpoint}")
    state = parse_checkpoint(raw, checkpoint)
    require_same({name: state["run"].get(name) for name in took.settings}, took.settings, checkpoint)
    if state["epoch"] < took.epochs:
        raise FileError(f"{checkpoint} is of a run that had come to {state['epoch']} of {took.epochs} epochs")
    model = build(former.recipe.model, data, former.recipe.batch_norm, former.seed)
    parametrise_(model, Plan.parse(former.recipe.plan), calibration_images(data, 2))
    try:
        model.load_state_dict(state["best"])
    except RuntimeError as error:
        raise FileError(f"{checkpoint} is not of the network that the record tells of: {error}") from error
    return model


def _refit(model: nn.Module, plan: Plan, images: torch.Tensor) -> None:
    """Approximate a network's weights by a plan, in place, unless they follow its axes and levels already."""
    was, now = layer_plans(model), plan.match(model, maps=feature_maps(model, images))
    for name, rule in now.items():
        if (rule.bias, rule.scale) != (was[name].bias, was[name].scale):
            raise PlanError(
                f"layer {name}: its norm was trained by '{was[name]}' and cannot follow '{rule}'; leave bias and scale "
                "as they were, but for their bits"
            )
    if any((rule.by_axis, rule.ranked) != (was[name].by_axis, was[name].ranked) for name, rule in now.items()):
        approximate_(fold_(model), plan, example=images)


def measure(
    program: Program, data: DataSet, splits: Sequence[str], others: Mapping[str, Run]
) -> dict[str, dict[str, float]]:
    """Return the accuracy of a network's forms on splits: the only place where the test split is read.

    The forms are the program as NumPy runs it, ``reference``; where more than the test split is asked for, also as
    compiled ``c``, where there is a compiler; and `others`, by name. A split without images is left out.

    Raises
    ------
    HornerError
        When compiled C and reference differ.
    """
    forms: dict[str, Run] = {**others, "reference": runner(program, "reference")}
    if len(splits) > 1:
        with contextlib.suppress(CompileError):
            forms["c"] = runner(program, "c")
    measured: dict[str, dict[str, float]] = {name: {} for name in forms}
    for split in splits:
        part = getattr(data, split)
        if not len(part):
            continue
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


def run_of(model: nn.Module, data: DataSet) -> Run:
    """Return the function from images of a data set to a network's logits."""
    return lambda images: predict(model, images, data.mean, data.std)


def totals(program: Program, path: Path) -> dict[str, Any]:
    """Return the account of a file as plain numbers of the whole program, without those of its layers."""
    numbers = account(program, path).to_dict()
    return {name: value for name, value in numbers.items() if name not in ("layers", "kernel_row")}


def _splits(recording: record.Recording | None) -> tuple[str, ...]:
    """What a run's forms are measured on: all that was not trained on is recorded."""
    return ("validation", "test") if recording else ("test",)


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
    say(f"dense: {result}; kept in {output}")
    return result, info
