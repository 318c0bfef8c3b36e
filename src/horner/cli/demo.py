"""`horner demo`: everything once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from horner.cli.console import answer, say
from horner.cli.options import DataDir, Json, Seed, load_images


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="folder to write to")] = Path("demo"),
    data: Annotated[Literal["mnist", "fashion-mnist"], typer.Option("--data")] = "mnist",
    data_dir: DataDir = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Do all of it once: train LeNet-5, approximate it, write the file, generate C, and compare them."""
    from horner import demonstration

    report = demonstration.run(load_images(data, data_dir), output, seed=seed, say=say)
    answer(report, as_json)
