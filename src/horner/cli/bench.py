"""`horner bench`: how fast a file is here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from horner.cli.console import answer, show
from horner.cli.options import PROGRAM, Json, find_program


def bench(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE.horner]", help=PROGRAM, show_default=False, callback=find_program),
    ] = None,
    isa: Annotated[
        str | None,
        typer.Option(
            metavar="ISA", help="avx512vnni, avx512, avx2, neon or portable; default: the best this machine has"
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=2, metavar="N", help="of one image")] = 200,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="measure what the planner's costs are here, and keep them")
    ] = False,
    as_json: Json = False,
) -> None:
    """Time a program on this machine, whole and layer by layer; or calibrate what plans its layers.

    Without calibration the planner uses the costs that Horner brings along.
    """
    from horner.backends.c.host import bench as timing
    from horner.backends.c.host import calibrate as calibration
    from horner.backends.c.host.isa import find_isa
    from horner.data.progress import counting
    from horner.program.file import load

    if calibrate == (file is not None):
        raise typer.TyperException("give a file to time, or --calibrate and no file")
    if file is not None:
        result = timing.bench(load(file), isa, runs)
        answer(result, as_json)
        return
    with counting("timing ways to do layers") as report:
        fitted = calibration.calibrate(find_isa(isa), report)
    path = calibration.save(fitted)
    if as_json:
        print(json.dumps({"isa": fitted.isa.name, "costs": fitted.costs, "lost": fitted.regrets(), "file": path}))
    else:
        show(timing.calibration_table(fitted))
        print(f"kept in {path}; the planner uses it from now on")
