"""The command line: one verb for each step from images to C.

Numbers go to standard output, everything else to standard error. Exit codes: 0; 1 for what the user can put right,
said in one line; 2 for a command that makes no sense; 3 for a budget missed; 130 when interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console, RenderableType

from horner import __version__
from horner.errors import DataError, HornerError, InterruptedTrainingError, MissingToolError

app = typer.Typer(
    name="horner",
    help="Replace a classifier's weights by short polynomials, store the coefficients, reuse their sums.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
WIDTH = 120  # of tables in files and pipes
FAILED, USAGE, BUDGET_MISSED, INTERRUPTED = 1, 2, 3, 130

DATA = "mnist, fashion-mnist, cifar-10, cifar-100, or folder:PATH with your own images"
FileData = Annotated[
    str | None,
    typer.Option("--data", metavar="D", help=f"{DATA}; default, for what the zoo has: what it was trained on"),
]
From = Annotated[
    Path | None, typer.Option("--from", metavar="FILE", help="the dense network, of `horner train`; else trained")
]
DataDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="folder that holds the sets in their official forms (or HORNER_DATA)"),
]
Size = Annotated[
    str | None, typer.Option(metavar="HxW", help="resample the images of folder:PATH; default: as the first is")
]
Channels = Annotated[
    int | None, typer.Option(metavar="N", help="of the images of folder:PATH, 1 (grey) or 3; default: as the first has")
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")]
OPTIMISE: dict[str, Literal["-Os", "-O2"]] = {"size": "-Os", "speed": "-O2"}
Optimise = Annotated[
    Literal["size", "speed"] | None,
    typer.Option(help="what the C is compiled for (-Os, -O2); default: as the chip's is"),
]
TARGETS = "cortex-m0plus, cortex-m4, cortex-m33, rv32imc, wasm32, or generic"
MODEL = "a built-in network, or package.module:function"
OwnModel = Annotated[str | None, typer.Argument(metavar="[MODEL]", help=MODEL, show_default=False)]
OwnData = Annotated[str | None, typer.Option("--data", metavar="D", help=DATA)]
PresetName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="a complete recipe, of `horner presets`; what is given beside it holds instead"),
]
PROGRAM = "a program, of `horner approximate`, or zoo:NAME, of `horner zoo`"


def _find(file: Path | None) -> Path | None:
    """Return where a program lies: those of the zoo are known by name."""
    from horner import zoo

    return zoo.find(file) if file else None


File = Annotated[Path, typer.Argument(metavar="FILE.horner", help=PROGRAM, callback=_find)]
BatchNorm = Annotated[bool | None, typer.Option("--batch-norm/--no-batch-norm", help="default: as the original has it")]
Seed = Annotated[int, typer.Option(metavar="N", help="of everything random")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1")]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"] | None,
    typer.Option(help="of training; auto [default]: bfloat16 on a GPU that has it"),
]


@app.command()
def train(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="safetensors file to write")],
    model: OwnModel = None,
    data: OwnData = None,
    preset: PresetName = None,
    data_dir: DataDir = None,
    size: Size = None,
    channels: Channels = None,
    batch_norm: BatchNorm = None,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="default: what suits the data")] = None,
    lr: Annotated[float | None, typer.Option(metavar="X", help="highest step size; default: what suits")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = None,
    as_json: Json = False,
) -> None:
    """Train a dense network.

    When interrupted, the same command goes on where it stopped.
    """
    model, data, _ = _asked(preset, model, data)
    _expect_writable(output)
    from horner import workflow

    followed = _preset(preset)
    given = _given(epochs=epochs, lr=lr, seed=seed, device=device, precision=precision)
    report = workflow.train_dense(
        model,
        _load(data, data_dir, size, channels),
        output,
        batch_norm=followed.batch_norm if followed and batch_norm is None else batch_norm,
        changes={**(followed.dense if followed else {}), **given},
        command=_command(),
        say=_say,
    )
    _report(report, as_json)


@app.command()
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
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = None,
    as_json: Json = False,
) -> None:
    """Approximate a network, train it on, and write a .horner file.

    When interrupted, the same command goes on where it stopped.
    """
    model, data, plan = _asked(preset, model, data, plan)
    from horner.plan import Plan

    followed = _preset(preset)
    parsed = Plan.parse(plan, bits)
    _expect_writable(output)
    from horner import models, workflow
    from horner.record import Recording, place

    retraining = _given(distill=distill, steps=tighten, arrange=arrange, fit=fit)
    changes = _given(seed=seed, device=device, precision=precision)
    if followed:
        batch_norm = followed.batch_norm if batch_norm is None else batch_norm
        epochs = followed.retraining.epochs if epochs is None else epochs
        retraining, changes = {**followed.changes(), **retraining}, {**followed.dense, **changes}
    report = workflow.approximate_to_file(
        model,
        trained=models.load(source, spec=model) if source else None,
        data=_load(data, data_dir, size, channels),
        plan=parsed,
        output=output,
        batch_norm=batch_norm,
        epochs=epochs,
        retraining=retraining,
        changes=changes,
        recording=Recording(place(record, output), _command(), preset) if record else None,
        show=lambda table: None if as_json else _print(table, to_stderr=True),
        say=_say,
    )
    _report(report, as_json)
    missed = []
    if max_drop is not None and report["drop"] > max_drop:
        missed.append(f"accuracy dropped by {report['drop']:.2f} points, more than {max_drop:g}")
    if max_bytes is not None and report["file_bytes"] > max_bytes:
        missed.append(f"the file has {report['file_bytes']} bytes, more than {max_bytes}")
    if missed:
        raise typer.Exit(_fail(f"{output} was written, but {' and '.join(missed)}", BUDGET_MISSED))


@app.command()
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
    _expect_writable(output / "front.json")
    from horner import models
    from horner.search import search as run

    found = run(
        model,
        _load(data, data_dir, size, channels),
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
        changes=_given(seed=seed, device=device, precision=precision),
    )
    if as_json:
        print(json.dumps(found.to_dict()))
    else:
        _print(found.table())
        print("\n".join(f"{name}: {path}" for name, path in found.files.items()))
    if found.chosen is None:
        raise typer.Exit(_fail(f"no plan found loses at most {max_drop:g} points", BUDGET_MISSED))


@app.command()
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
        _expect_writable(output / "sensitivity.json")
    from horner import models
    from horner.search import sensitivity as run

    found = run(
        model,
        _load(data, data_dir, size, channels),
        plan=parsed,
        output=output,
        trained=models.load(source, spec=model) if source else None,
        batch_norm=batch_norm,
        changes=_given(seed=seed, device=device),
        say=_say,
    )
    if as_json:
        print(json.dumps(found.to_dict()))
    else:
        _print(found.table())


@app.command()
def presets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="show all of this one", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """List the recipes that `train` and `approximate` follow with --preset, or show one."""
    import msgspec

    from horner import presets as recipes

    chosen = {each: recipes.get(each) for each in ([name] if name else recipes.names())}
    if as_json:
        print(msgspec.json.encode(chosen).decode())
    elif name:
        print(recipes.text(name))
    else:
        _print(recipes.table())


@app.command("zoo")
def show_zoo(as_json: Json = False) -> None:
    """List the programs that come with Horner: `horner eval zoo:NAME` measures one again."""
    import msgspec

    from horner import zoo

    if as_json:
        print(msgspec.json.encode(zoo.entries()).decode())
    else:
        _print(zoo.table())


@app.command("eval")
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

    program, data = load(file), data or _trained_on(file)
    run = runner(program, backend)
    images = _load(data, data_dir, size, channels)
    expect_fit(str(file), program.input.shape, program.output.size, images)
    part = getattr(images, split)
    result = accuracy(run(part.images), part.labels)
    _report({"accuracy": result, "n": len(part), "backend": backend}, as_json)


@app.command()
def account(file: File, as_json: Json = False) -> None:
    """Say what a file costs: bytes, ratios and operations, layer by layer."""
    from horner.program.account import account
    from horner.program.file import load

    numbers = account(load(file), file)
    if as_json:
        print(json.dumps(numbers.to_dict()))
    else:
        _print(numbers.table())


@app.command()
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

        chip = _chip(target, optimise)
        name = name or _identifier(file.stem)
        written = write_layout(program, output, name, chip.name, layout)
        try:
            with counting(f"building an image for {chip.title}"):
                sizes = footprint_of(program, chip, name)
        except MissingToolError as missing:
            _say(f"horner: flash and RAM are not known: {missing}")
    elif to == "rtl":
        from horner.backends.rtl.export import write
        from horner.data.progress import counting

        rows, columns = _pes(str(pes))
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
            _print(sizes.table())


@app.command()
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

    found = synthesise(folder, ("xilinx", "ecp5") if flow == "all" else (flow,), _say)
    if as_json:
        print(json.dumps(found.to_dict()))
    else:
        _print(found.table())


@app.command()
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
    from horner.evaluation import accuracy, expect_fit
    from horner.program.file import load

    program = load(file)
    chip = _chip(target, optimise) if target else None
    array = _pes(pes) if pes else None
    part = None
    if chip or array or data:
        images = _load(data or _trained_on(file), data_dir, size, channels)
        expect_fit(str(file), program.input.shape, program.output.size, images)
        part = getattr(images, split).take(count)
    if array and part:
        _simulate_accelerator(program, array, part, as_json)
        return
    if chip is None or part is None:
        _simulate_array(program, file.stem, str(arch), batch, part, page, as_json)
        return
    with counting(f"simulating {chip.title}") as report:
        result = run(program, part.images, chip, _identifier(file.stem), report)
    right = accuracy(result.outputs, part.labels)
    if as_json:
        print(json.dumps({**result.to_dict(), "accuracy": right}))
    else:
        _print(result.table())
        print(f"accuracy on them: {right:.2f} %")


@app.command()
def bench(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE.horner]", help=PROGRAM, show_default=False, callback=_find),
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
        if as_json:
            print(json.dumps(result.to_dict()))
        else:
            _print(result.table())
        return
    with counting("timing ways to do layers") as report:
        fitted = calibration.calibrate(find_isa(isa), report)
    path = calibration.save(fitted)
    if as_json:
        print(json.dumps({"isa": fitted.isa.name, "costs": fitted.costs, "lost": fitted.regrets(), "file": path}))
    else:
        _print(timing.calibration_table(fitted))
        print(f"kept in {path}; the planner uses it from now on")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="folder to write to")] = Path("demo"),
    data: Annotated[Literal["mnist", "fashion-mnist"], typer.Option("--data")] = "mnist",
    data_dir: DataDir = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Do all of it once: train LeNet-5, approximate it, write the file, generate C, and compare them."""
    from horner import demonstration

    report = demonstration.run(_load(data, data_dir), output, seed=seed, say=_say)
    if as_json:
        print(json.dumps(report.to_dict()))
    else:
        _print(report.table())


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="print the version")] = False
) -> None:
    if version:
        print(f"horner {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's mistake is one line on standard error and a non-zero exit."""
    # threads that wait spin otherwise, and with another busy process beside them they wait for most of the time
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    try:
        code = app(standalone_mode=False, prog_name="horner")
        sys.stdout.flush()
        if code == INTERRUPTED:  # what typer makes of Ctrl-C
            _fail("interrupted")
    except InterruptedTrainingError as error:
        code = _fail(str(error), INTERRUPTED)
    except DataError as error:
        code = _fail(str(error), lines=True)  # it may list all that was tried
    except HornerError as error:
        code = _fail(str(error))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        code = _fail(f"{error.format_message()} ({context.command_path if context else 'horner'} --help)", USAGE)
    except KeyboardInterrupt:
        code = _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _discard_output()
        code = FAILED
    except OSError as error:
        _discard_output()
        code = _fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int = FAILED, lines: bool = False) -> int:
    print("horner: " + (message if lines else " ".join(message.split())), file=sys.stderr)
    return code


def _discard_output() -> None:
    """Let the interpreter's last flush of standard output, which cannot be written, fail no more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(line: str) -> None:
    Console(stderr=True, highlight=False).print(line, markup=False, soft_wrap=True)


def _print(table: RenderableType, to_stderr: bool = False) -> None:
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)


def _expect_writable(output: Path) -> None:
    from horner._files import expect_writable

    expect_writable(output)


def _load(name: str, data_dir: Path | None, size: str | None = None, channels: int | None = None) -> Any:
    from horner.data import load

    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size or "1x1")
    if not found:
        raise typer.BadParameter(f"{size} is not HxW, for example 32x32", param_hint="--size")
    wanted = (int(found[1]), int(found[2])) if size else None
    return load(name, data_dir, size=wanted, channels=channels, announce=_say)


def _chip(name: str, optimise: Literal["size", "speed"] | None) -> Any:
    """Return a target, its C compiled for what was asked."""
    from horner.backends.c.targets import target

    chip = target(name)
    return dataclasses.replace(chip, optimise=OPTIMISE[optimise]) if optimise else chip


def _simulate_accelerator(program: Any, array: tuple[int, int], part: Any, as_json: bool) -> None:
    """Print what the accelerator and its baseline take for images, and how far the model is from that."""
    from horner.backends.rtl.comparison import compare
    from horner.evaluation import accuracy

    found = compare(program, *array, part.images, _say)
    right = accuracy(found.outputs, part.labels)
    if as_json:
        print(json.dumps({**found.to_dict(), "accuracy": right}))
    else:
        _print(found.table())
        print(f"accuracy on them: {right:.2f} %")


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
    if as_json:
        print(json.dumps({"arch": arch, **result.to_dict(), **({"report": str(page)} if page else {})}))
        return
    _print(result.table())
    if page:
        print(f"report: {page}")


def _pes(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if not found:
        raise typer.BadParameter(f"--pes {text}: give rows and columns, such as 3x3")
    return int(found[1]), int(found[2])


def _identifier(stem: str) -> str:
    """Return the C identifier nearest to a file's name (example.c is another file's)."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", stem)
    return f"network_{name}" if name == "example" or not re.match("[A-Za-z_]", name) else name


def _preset(name: str | None) -> Any:
    """Return the preset of that name, if one is asked for."""
    from horner import presets

    return presets.get(name) if name else None


def _asked(preset: str | None, model: str | None, data: str | None, plan: str | None = "") -> tuple[str, str, str]:
    """Return network, images and plan: what is given, and where something is not, what the preset says."""
    if preset is not None:
        found = _preset(preset)
        return model or found.model, data or found.data, found.plan if plan is None else plan
    for name, value in (("argument 'MODEL'", model), ("option '--data'", data), ("option '--plan'", plan)):
        if value is None:
            raise typer.TyperException(f"Missing {name}, which a --preset would name")
    return str(model), str(data), str(plan)


def _trained_on(file: Path) -> str:
    """Return the data set that a program of the zoo was trained on."""
    from horner import zoo

    known = zoo.recognise(file)
    if known is None:
        raise typer.TyperException("Missing option '--data', which only the programs of `horner zoo` do without")
    return known.data


def _command() -> str:
    """Return what was typed, without what only this machine has: other people's folders lie elsewhere."""
    words, arguments = ["horner"], iter(sys.argv[1:])
    for word in arguments:
        if word == "--data-dir":
            next(arguments, None)
        elif not word.startswith("--data-dir="):
            words.append(Path(word).name if Path(word).is_absolute() else word)
    return shlex.join(words)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _report(numbers: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(numbers))
    else:
        print("\n".join(f"{name.replace('_', ' ')}: {_text(value)}" for name, value in numbers.items()))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
