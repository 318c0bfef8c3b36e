"""`horner sensitivity`: what each layer can bear."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from horner.cli.console import answer, say
from horner.cli.options import (
    DATA,
    MODEL,
    BatchNorm,
    Channels,
    DataDir,
    Device,
    From,
    Json,
    Seed,
    Size,
    expect_writable,
    given,
    load_images,
)


def sensitivity(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL)],
    data: Annotated[str, typer.Option("--data", metavar="D", help=DATA)],
    source: From = None,
    plan: Annotated[
        str | None, typer.Option(metavar="P", help="try what it says of each layer, instead of a set of forms")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="folder for numbers and picture")
    ] = None,
    data_dir: DataDir = None,
    size: Size = None,
    channels: Channels = None,
    batch_norm: BatchNorm = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Say what each layer can bear: one layer at a time is approximated and fitted, nothing is trained."""
    from horner.plan import Plan

    parsed = Plan.parse(plan) if plan else None
    if output:
        expect_writable(output / "sensitivity.json")
    from horner import models
    from horner.search import sensitivity as run

    found = run(
        model,
        load_images(data, data_dir, size, channels),
        plan=parsed,
        output=output,
        trained=models.load(source, spec=model) if source else None,
        batch_norm=batch_norm,
        changes=given(seed=seed, device=device),
        say=say,
    )
    answer(found, as_json)
