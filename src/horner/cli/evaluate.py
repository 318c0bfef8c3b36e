"""`horner eval`: how accurate a file is."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from horner.cli.console import report
from horner.cli.options import Channels, DataDir, File, FileData, Json, Size, load_images, trained_on


def evaluate(
    file: File,
    data: FileData = None,
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="of the data set")] = "test",
    backend: Annotated[
        Literal["reference", "dense", "c"],
        typer.Option(help="reference: NumPy; dense: the same on expanded weights; c: compiled here"),
    ] = "reference",
    data_dir: DataDir = None,
    size: Size = None,
    channels: Channels = None,
    as_json: Json = False,
) -> None:
    """Measure a file's accuracy."""
    from horner.evaluation import accuracy, expect_fit, runner
    from horner.program.file import load

    program, data = load(file), data or trained_on(file)
    run = runner(program, backend)
    images = load_images(data, data_dir, size, channels)
    expect_fit(str(file), program.input.shape, program.output.size, images)
    part = getattr(images, split)
    result = accuracy(run(part.images), part.labels)
    report({"accuracy": result, "n": len(part), "backend": backend}, as_json)
