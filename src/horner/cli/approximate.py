"""`horner approximate`: from a network and a plan to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from horner.cli.console import BUDGET_MISSED, fail, report, say, show
from horner.cli.options import (
    BatchNorm,
    Channels,
    DataDir,
    Device,
    From,
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


def approximate(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help=".horner file to write")],
    model: OwnModel = None,
    data: OwnData = None,
    plan: Annotated[
        str | None, typer.Option(metavar="P", help="a .toml file, or text as 'out=linear/4 in=linear/4'")
    ] = None,
    preset: PresetName = None,
    source: From = None,
    bits: Annotated[
        int | None, typer.Option(min=2, max=16, metavar="N", help="per coefficient, where the plan names none [8]")
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(metavar="X", help="points of accuracy that may be lost, else exit 3")
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(metavar="N", help="bytes the file may have, else exit 3")] = None,
    data_dir: DataDir = None,
    size: Size = None,
    channels: Channels = None,
    batch_norm: BatchNorm = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="of retraining; default: as dense; 0: the activation-aware fit alone"),
    ] = None,
    distill: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="X", help="share of the dense network in the loss [0.5]")
    ] = None,
    tighten: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="plans gone through, from short segments to the plan's own [1]"),
    ] = None,
    arrange: Annotated[
        bool | None, typer.Option("--arrange/--no-arrange", help="reorder filters first, to suit the plan [yes]")
    ] = None,
    fit: Annotated[
        Literal["weights", "activations", "random"] | None,
        typer.Option(help="what training starts from: the fit to weights [default], to outputs, or new weights"),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="folder or .json file to record the run in: cost, accuracies, every number"),
    ] = None,
    keep_real: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="keep the coefficients before rounding too: `horner finetune --real`"),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = None,
    as_json: Json = False,
) -> None:
    """Approximate a network, train it on, and write a .horner file.

    When interrupted, the same command goes on where it stopped.
    """
    model, data, plan = asked(preset, model, data, plan)
    from horner.plan import Plan

    followed = preset_of(preset)
    parsed = Plan.parse(plan, bits)
    expect_writable(output)
    if keep_real:
        expect_writable(keep_real)
    from horner import models, workflow
    from horner.record import Recording, place

    retraining = given(distill=distill, steps=tighten, arrange=arrange, fit=fit)
    changes = given(seed=seed, device=device, precision=precision)
    if followed:
        batch_norm = followed.batch_norm if batch_norm is None else batch_norm
        epochs = followed.retraining.epochs if epochs is None else epochs
        retraining, changes = {**followed.changes(), **retraining}, {**followed.dense, **changes}
    made = workflow.approximate_to_file(
        model,
        trained=models.load(source, spec=model) if source else None,
        data=load_images(data, data_dir, size, channels),
        plan=parsed,
        output=output,
        batch_norm=batch_norm,
        epochs=epochs,
        retraining=retraining,
        changes=changes,
        recording=Recording(place(record, output), command(), preset) if record else None,
        real=keep_real,
        show=lambda table: None if as_json else show(table, to_stderr=True),
        say=say,
    )
    report(made, as_json)
    missed = []
    if max_drop is not None and made["drop"] > max_drop:
        missed.append(f"accuracy dropped by {made['drop']:.2f} points, more than {max_drop:g}")
    if max_bytes is not None and made["file_bytes"] > max_bytes:
        missed.append(f"the file has {made['file_bytes']} bytes, more than {max_bytes}")
    if missed:
        raise typer.Exit(fail(f"{output} was written, but {' and '.join(missed)}", BUDGET_MISSED))
