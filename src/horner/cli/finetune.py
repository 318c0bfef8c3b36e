"""`horner finetune`: train a file on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from horner.cli.console import report, say
from horner.cli.options import (
    Channels,
    DataDir,
    Device,
    File,
    FileData,
    Json,
    PresetName,
    Seed,
    Size,
    command,
    expect_writable,
    given,
    load_images,
    preset_of,
    trained_on,
)

EPOCHS = 5


def finetune(
    file: File,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help=".horner file to write")],
    data: FileData = None,
    preset: PresetName = None,
    teachers: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher", metavar="FILE.horner", help="another program that teaches, or zoo:NAME; may be given again"
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help=f"[{EPOCHS}]")] = None,
    lr: Annotated[
        float | None, typer.Option(metavar="X", help="largest relative change of a tensor in one step [0.003]")
    ] = None,
    distill: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="X", help="share of what teachers say in the loss [0.5]")
    ] = None,
    data_dir: DataDir = None,
    size: Size = None,
    channels: Channels = None,
    record: Annotated[
        Path | None, typer.Option(metavar="PATH", help="folder or .json file to record the run in, with --former")
    ] = None,
    former: Annotated[
        Path | None, typer.Option(metavar="FILE", help="the record of the run that made FILE.horner")
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="begin with coefficients before rounding, of `horner approximate --keep-real`"
        ),
    ] = None,
    real_epochs: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="of training those, before they are rounded [0]")
    ] = None,
    plan: Annotated[
        str | None, typer.Option(metavar="P", help="approximate and round those otherwise: a .toml file, or text")
    ] = None,
    validation: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="training images held out, to keep the best epoch by; 0: train on all of them, keep the last epoch",
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train a .horner file on, in the bits that it has: on more images or on others, or taught by other programs.

    It needs the file alone, no dense network; the program as it was is one of the teachers, or, with --real, its
    coefficients before rounding are. When interrupted, the same command goes on where it stopped.
    """
    for option, path in {"--record": record, "--real": real}.items():
        if path and not former:
            raise typer.TyperException(f"Missing option '--former', the record that {option} goes on with")
    expect_writable(output)
    import msgspec

    from horner import workflow
    from horner.plan import Plan
    from horner.presets import Finetune
    from horner.record import Recording, place, read

    followed = preset_of(preset)
    if followed and not followed.finetuning:
        raise typer.BadParameter(f"{preset} is a recipe without fine-tuning", param_hint="--preset")
    tuning = followed.finetuning if followed else Finetune(epochs=EPOCHS)
    changes = given(
        epochs=epochs,
        distill=distill,
        teachers=tuple(teachers) if teachers else None,
        plan=str(Plan.parse(plan)) if plan else None,
        validation=validation,
    )
    if lr is not None:
        changes["settings"] = {**tuning.settings, "lr": lr}
    if real or real_epochs:
        first = {**(tuning.real or {}), **given(epochs=real_epochs)}
        changes["real"] = first if first.get("epochs") else {}
    tuning = msgspec.structs.replace(tuning, **changes)
    name = data or (followed.data if followed else trained_on(file))
    images = load_images(name, data_dir, size, channels, tuning.validation)
    made = workflow.finetune_to_file(
        file,
        images,
        tuning,
        output,
        base=followed.training() if followed else None,
        changes=given(seed=seed, device=device),
        former=read(former) if former else None,
        real=real,
        recording=Recording(place(record, output), command(), preset) if record else None,
        say=say,
    )
    report(made, as_json)
