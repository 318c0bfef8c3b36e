"""The command line: one verb for each step from images to C."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from horner import __version__
from horner.errors import HornerError

app = typer.Typer(
    name="horner",
    help="Replace a classifier's weights by short polynomials, store the coefficients, reuse their sums.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
stderr = Console(stderr=True, highlight=False)
BUDGET_MISSED = 3

Data = Annotated[
    str, typer.Option("--data", metavar="D", help="mnist, fashion-mnist, cifar-10, cifar-100 or folder:PATH")
]
DataDir = Annotated[
    Path | None, typer.Option(help="folder that holds the sets in their official forms (or HORNER_DATA)")
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object instead of a table")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="a built-in network, or package.module:function")]
File = Annotated[Path, typer.Argument(metavar="FILE.horner")]
Out = Annotated[Path, typer.Option("-o", "--output")]
BatchNorm = Annotated[bool | None, typer.Option("--batch-norm/--no-batch-norm", help="default: as the original has it")]
Epochs = Annotated[int | None, typer.Option(min=1, help="default: what suits the data")]
Seed = Annotated[int, typer.Option(help="of everything random")]


@app.command()
def train(
    model: Model,
    data: Data,
    output: Out,
    data_dir: DataDir = None,
    batch_norm: BatchNorm = None,
    epochs: Epochs = None,
    lr: Annotated[float | None, typer.Option(help="highest step size")] = None,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16")] = "auto",
    as_json: Json = False,
) -> None:
    """Train a dense network; interrupted, the same command goes on where it stopped."""
    from horner import workflow

    images = _load(data, data_dir)
    report = workflow.train_dense(
        model,
        images,
        output,
        batch_norm=batch_norm,
        changes=_given(epochs=epochs, lr=lr, seed=seed, device=device, precision=precision),
        say=_say,
    )
    _report(report, as_json)


@app.command()
def approximate(
    model: Model,
    data: Data,
    plan: Annotated[str, typer.Option(metavar="P", help="a TOML file, or text as 'out=linear/4 in=linear/4'")],
    output: Out,
    source: Annotated[Path | None, typer.Option("--from", help="trained dense network, of `horner train`")] = None,
    bits: Annotated[int | None, typer.Option(min=2, max=16, help="per coefficient, where the plan names none")] = None,
    max_drop: Annotated[float | None, typer.Option(help="points of accuracy that may be lost, else exit 3")] = None,
    max_bytes: Annotated[int | None, typer.Option(help="bytes the file may have, else exit 3")] = None,
    data_dir: DataDir = None,
    batch_norm: BatchNorm = None,
    epochs: Annotated[int | None, typer.Option(min=0, help="of retraining; 0: the activation-aware fit alone")] = None,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1")] = "auto",
    as_json: Json = False,
) -> None:
    """Approximate a network, train it on, and write a .horner file."""
    from horner import workflow

    images = _load(data, data_dir)
    report = workflow.approximate_to_file(
        model,
        images,
        plan,
        output,
        source=source,
        bits=bits,
        batch_norm=batch_norm,
        epochs=epochs,
        changes=_given(seed=seed, device=device),
        say=_say,
    )
    _report(report, as_json)
    missed = []
    if max_drop is not None and report["drop"] > max_drop:
        missed.append(f"accuracy dropped by {report['drop']:.2f} points, more than {max_drop:g}")
    if max_bytes is not None and report["file_bytes"] > max_bytes:
        missed.append(f"the file has {report['file_bytes']} bytes, more than {max_bytes}")
    if missed:
        _say(f"{output} was written, but {' and '.join(missed)}")
        raise typer.Exit(BUDGET_MISSED)


@app.command("eval")
def evaluate(
    file: File,
    data: Data,
    split: Annotated[Literal["train", "validation", "test"], typer.Option()] = "test",
    backend: Annotated[
        Literal["reference", "dense", "c"], typer.Option(help="dense: the reference on expanded weights")
    ] = "reference",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Measure a file's accuracy with a backend."""
    import horner
    from horner.evaluation import accuracy, runner

    program = horner.load(file)
    images = getattr(_load(data, data_dir), split)
    result = accuracy(runner(program, backend)(images.images), images.labels)
    _report({"accuracy": result, "n": len(images.labels), "backend": backend}, as_json)


@app.command()
def account(file: File, as_json: Json = False) -> None:
    """Print what a file costs: bytes, ratios, operations, layer by layer."""
    import horner

    numbers = horner.account(horner.load(file), file)
    if as_json:
        print(json.dumps(numbers.to_dict()))
    else:
        Console().print(numbers.table())


@app.command()
def export(
    file: File,
    to: Annotated[Literal["c", "safetensors"], typer.Option(help="C99 source, or tensors for PyTorch")],
    output: Out,
    name: Annotated[str | None, typer.Option(help="of the C functions; default: the file's")] = None,
    as_json: Json = False,
) -> None:
    """Generate C, or write the tensors, of a file."""
    import horner
    from horner.backends import c
    from horner.program.tensors import save_safetensors

    program = horner.load(file)
    if to == "c":
        written = c.write(program, output, name or c.identifier(file.stem))
    else:
        target = output / f"{file.stem}.safetensors"
        save_safetensors(program, target)
        written = [target]
    _report({"files": {str(path): path.stat().st_size for path in written}}, as_json)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output")] = Path("demo"),
    data: Annotated[str, typer.Option("--data", metavar="D", help="mnist, or fashion-mnist")] = "mnist",
    data_dir: DataDir = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run the main job: train LeNet-5, approximate it, write the file, generate C, and compare all of them."""
    from horner import demonstration

    report = demonstration.run(_load(data, data_dir), output, seed=seed, say=_say)
    if as_json:
        print(json.dumps(report.to_dict()))
    else:
        Console().print(report.table())


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        print(f"horner {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's mistake is one line on standard error and a non-zero exit."""
    try:
        code = app(standalone_mode=False)
    except HornerError as error:
        code = _fail(str(error))
    except typer.Exit as error:
        code = error.exit_code
    except typer.TyperException as error:
        code = _fail(error.format_message() + " (horner --help says what there is)", 2)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int = 1) -> int:
    print("horner: " + " ".join(message.split()), file=sys.stderr)
    return code


def _say(line: str) -> None:
    stderr.print(line, markup=False)


def _load(name: str, data_dir: Path | None) -> Any:
    from horner.data import load

    return load(name, data_dir, announce=_say)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _report(numbers: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(numbers))
        return
    for name, value in numbers.items():
        for line in [f"{k}: {v} bytes" for k, v in value.items()] if isinstance(value, dict) else [_line(name, value)]:
            print(line)


def _line(name: str, value: Any) -> str:
    return f"{name.replace('_', ' ')}: {f'{value:.4g}' if isinstance(value, float) else value}"
