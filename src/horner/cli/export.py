"""`horner export`: a file in other forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from horner.cli.console import say, show
from horner.cli.options import TARGETS, File, Json, Optimise, chip_of, identifier, rows_by_columns
from horner.errors import MissingToolError


def export(
    file: File,
    to: Annotated[
        Literal["c", "rtl", "safetensors"],
        typer.Option(help="C99 source, an accelerator in Verilog, or expanded tensors for other tools"),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="folder to write to")],
    target: Annotated[str, typer.Option("--target", metavar="T", help=f"what the C is for: {TARGETS}")] = "generic",
    layout: Annotated[
        Literal["files", "cmake", "arduino"], typer.Option(help="of the C: plain files, or a library to build")
    ] = "files",
    optimise: Optimise = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="of what is written; default: the file's")] = None,
    pes: Annotated[str | None, typer.Option(metavar="RxC", help="of the RTL: processing elements, such as 3x3")] = None,
    as_json: Json = False,
) -> None:
    """Write a file in another form: C source, an accelerator, or tensors.

    For a chip, flash and RAM are printed, layer by layer, from a linked image. An accelerator is an array of processing
    elements in Verilog that reuses sums, and a Row Stationary array as fast beside it, each with a testbench.
    """
    from horner.program.file import load

    if (to == "rtl") != (pes is not None):
        raise typer.BadParameter("--to rtl and --pes go together: horner export FILE --to rtl --pes 3x3 -o DIR")
    if to != "c" and (target != "generic" or layout != "files" or optimise):
        raise typer.BadParameter("--target, --layout and --optimise are of --to c")
    program = load(file)
    sizes = None
    if to == "c":
        from horner.backends.c.firmware import footprint_of
        from horner.backends.c.firmware.layout import write_layout
        from horner.data.progress import counting

        chip = chip_of(target, optimise)
        name = name or identifier(file.stem)
        written = write_layout(program, output, name, chip.name, layout)
        try:
            with counting(f"building an image for {chip.title}"):
                sizes = footprint_of(program, chip, name)
        except MissingToolError as missing:
            say(f"horner: flash and RAM are not known: {missing}")
    elif to == "rtl":
        from horner.backends.rtl.export import write
        from horner.data.progress import counting

        rows, columns = rows_by_columns(str(pes))
        with counting("writing Verilog"):
            written = write(program, output, rows, columns, source=file.name)
    else:
        from horner.program.exchange import save_safetensors

        written = [output / f"{name or file.stem}.safetensors"]
        save_safetensors(program, written[0])
    files = {str(path): path.stat().st_size for path in written}
    if as_json:
        print(json.dumps({"files": files, **({"footprint": sizes.to_dict()} if sizes else {})}))
    else:
        print("\n".join(f"{path}: {size:,} bytes" for path, size in files.items()))
        if sizes:
            show(sizes.table())
