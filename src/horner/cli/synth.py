"""`horner synth`: what an accelerator takes of a chip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from horner.cli.console import answer, say
from horner.cli.options import Json


def synth(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="as horner export --to rtl wrote it")],
    flow: Annotated[
        Literal["operators", "xilinx", "ecp5", "all"],
        typer.Option(help="adders and multipliers alone, also LUT, FF and DSP, also the clock, or all"),
    ] = "all",
    as_json: Json = False,
) -> None:
    """Synthesise an accelerator and its Row Stationary baseline, with Yosys and nextpnr: one table of both.

    Place and route takes minutes.
    """
    from horner.backends.rtl.synthesis import synthesise

    found = synthesise(folder, ("xilinx", "ecp5") if flow == "all" else (flow,), say)
    answer(found, as_json)
