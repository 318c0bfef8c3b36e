"""`horner simulate`: a file on chips and arrays that are not here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from horner.cli.console import answer, say
from horner.cli.options import (
    TARGETS,
    Channels,
    DataDir,
    File,
    FileData,
    Json,
    Optimise,
    Size,
    chip_of,
    identifier,
    load_images,
    rows_by_columns,
    trained_on,
)


def simulate(
    file: File,
    target: Annotated[str | None, typer.Option("--target", metavar="T", help=TARGETS)] = None,
    arch: Annotated[
        str | None, typer.Option(metavar="A", help="eyeriss, reuse, or a .toml: an array of processing elements")
    ] = None,
    pes: Annotated[str | None, typer.Option(metavar="RxC", help="of the accelerator of export --to rtl: PEs")] = None,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="images that an array takes together")] = 1,
    page: Annotated[
        Path | None,
        typer.Option("--report", metavar="PAGE.html", help="a page to write, on the array with and without reuse"),
    ] = None,
    data: FileData = None,
    optimise: Optimise = None,
    count: Annotated[int, typer.Option("-n", min=1, metavar="N", help="images, the first of the split")] = 100,
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="of the data set")] = "test",
    data_dir: DataDir = None,
    size: Size = None,
    channels: Channels = None,
    as_json: Json = False,
) -> None:
    """Run images on an emulated chip (--target) or an accelerator (--pes), or model an array (--arch).

    On a chip outputs are compared with the reference, instructions counted and the stack is measured. Instructions are
    not cycles: an emulator has no pipeline, no flash and no bus to wait for. Of an array of processing elements (PEs)
    the model gives cycles, the accesses at every level and energy; with --data, zeros among activations are measured
    for run-length coding. The accelerator that export --to rtl writes, and its baseline, are simulated cycle by cycle.
    """
    if (target is not None) + (arch is not None) + (pes is not None) != 1:
        raise typer.BadParameter("give --target (a chip), --arch (an array, modelled) or --pes (an array, simulated)")
    if page:
        if arch is None:
            raise typer.BadParameter("--report is of --arch, an array of processing elements")
        from horner.report.hardware_page import expect

        expect(page)
    from horner.backends.c.firmware import simulate as run
    from horner.data.progress import counting
    from horner.evaluation import expect_fit
    from horner.program.file import load

    program = load(file)
    chip = chip_of(target, optimise) if target else None
    array = rows_by_columns(pes) if pes else None
    if array:
        from horner.backends.rtl.design import design

        design(program, *array)  # refuses what it cannot compute before images are sought
    part = None
    if chip or array or data:
        images = load_images(data or trained_on(file), data_dir, size, channels)
        expect_fit(str(file), program.input.shape, program.output.size, images)
        part = getattr(images, split).take(count)
    if array and part:
        _simulate_accelerator(program, array, part, as_json)
        return
    if chip is None or part is None:
        _simulate_array(program, file.stem, str(arch), batch, part, page, as_json)
        return
    with counting(f"simulating {chip.title}") as report:
        result = run(program, part.images, chip, identifier(file.stem), report)
    _answer(result, part.labels, as_json)


def _answer(result: Any, labels: Any, as_json: bool) -> None:
    """Print what was simulated, and how many of the images came out right."""
    from horner.evaluation import accuracy

    right = accuracy(result.outputs, labels)
    answer(result, as_json, accuracy=right)
    if not as_json:
        print(f"accuracy on them: {right:.2f} %")


def _simulate_accelerator(program: Any, array: tuple[int, int], part: Any, as_json: bool) -> None:
    """Print what the accelerator and its baseline take for images, and how far the model is from that."""
    from horner.backends.rtl.comparison import compare

    _answer(compare(program, *array, part.images, say), part.labels, as_json)


def _simulate_array(
    program: Any, title: str, arch: str, batch: int, part: Any, page: Path | None, as_json: bool
) -> None:
    """Print what a program costs on an array, and write a page of it with and without reuse."""
    from horner.hardware import architecture, compare
    from horner.hardware import simulate as run

    array, images = architecture.load(arch), part.images if part else None
    if page:
        from horner.report.hardware_page import write

        found = compare(program, array, batch, images)
        write(title, found, page)
        result = next(simulation for simulation in found if simulation.arch == array)
    else:
        result = run(program, array, batch, images)
    answer(result, as_json, arch=arch, **({"report": str(page)} if page else {}))
    if page and not as_json:
        print(f"report: {page}")
