"""`horner train`: from images to a dense network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from horner.cli.console import report, say
from horner.cli.options import (
    BatchNorm,
    Channels,
    DataDir,
    Device,
    Json,
    OwnData,
    OwnModel,
    Precision,
    PresetName,
    Seed,
    Size,
    asked,
    command,
    expect_writable,
    given,
    load_images,
    preset_of,
)


def train(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="safetensors file to write")],
    model: OwnModel = None,
    data: OwnData = None,
    preset: PresetName = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="a trained network to go on from; else new weights")
    ] = None,
    data_dir: DataDir = None,
    size: Size = None,
    channels: Channels = None,
    batch_norm: BatchNorm = None,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="default: what suits the data")] = None,
    lr: Annotated[float | None, typer.Option(metavar="X", help="highest step size; default: what suits")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = None,
    as_json: Json = False,
) -> None:
    """Train a dense network.

    When interrupted, the same command goes on where it stopped.
    """
    model, data, _ = asked(preset, model, data)
    expect_writable(output)
    from horner import models, workflow

    followed = preset_of(preset)
    changes = given(epochs=epochs, lr=lr, seed=seed, device=device, precision=precision)
    made = workflow.train_dense(
        model,
        load_images(data, data_dir, size, channels),
        output,
        trained=models.load(source, spec=model) if source else None,
        batch_norm=followed.batch_norm if followed and batch_norm is None else batch_norm,
        changes={**(followed.dense if followed else {}), **changes},
        command=command(),
        say=say,
    )
    report(made, as_json)
