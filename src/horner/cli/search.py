"""`horner search`: small plans within an accuracy budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from horner.cli.console import BUDGET_MISSED, answer, fail
from horner.cli.options import (
    DATA,
    MODEL,
    BatchNorm,
    Channels,
    DataDir,
    Device,
    From,
    Json,
    Precision,
    Seed,
    Size,
    expect_writable,
    given,
    load_images,
)


def search(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL)],
    data: Annotated[str, typer.Option("--data", metavar="D", help=DATA)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="folder of the files found")],
    max_drop: Annotated[float, typer.Option(metavar="X", help="points of validation accuracy that may be lost")],
    objective: Annotated[
        Literal["bytes", "operations", "coefficients"],
        typer.Option(help="what is to be small: the file, multiplications and additions, or coefficients"),
    ] = "bytes",
    trials: Annotated[int, typer.Option(min=1, metavar="N", help="of the whole study, by all its workers")] = 50,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="database or .journal file that workers share; default: study.db in DIR"),
    ] = None,
    study: Annotated[str, typer.Option(metavar="NAME", help="of the study in the storage")] = "horner",
    source: From = None,
    data_dir: DataDir = None,
    size: Size = None,
    channels: Channels = None,
    batch_norm: BatchNorm = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="of the finalists' retraining; default: as dense; 0: the fit alone"),
    ] = None,
    proxy_epochs: Annotated[int, typer.Option(min=0, metavar="N", help="of a trial's short retraining")] = 3,
    proxy_images: Annotated[int, typer.Option(min=1, metavar="N", help="training images that it uses")] = 10_000,
    finalists: Annotated[int, typer.Option(min=1, metavar="N", help="trained in full, at most")] = 8,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = None,
    as_json: Json = False,
) -> None:
    """Find small plans within an accuracy budget: a front of .horner files.

    The same command with the same storage goes on with a search, or joins it while it runs.
    """
    expect_writable(output / "front.json")
    from horner import models
    from horner.search import search as run

    found = run(
        model,
        load_images(data, data_dir, size, channels),
        output,
        max_drop=max_drop,
        objective=objective,
        trials=trials,
        storage=storage,
        study=study,
        trained=models.load(source, spec=model) if source else None,
        batch_norm=batch_norm,
        epochs=epochs,
        proxy_epochs=proxy_epochs,
        proxy_images=proxy_images,
        finalists=finalists,
        changes=given(seed=seed, device=device, precision=precision),
    )
    answer(found, as_json)
    if not as_json:
        print("\n".join(f"{name}: {path}" for name, path in found.files.items()))
    if found.chosen is None:
        raise typer.Exit(fail(f"no plan found loses at most {max_drop:g} points", BUDGET_MISSED))
