"""Options that several verbs share, and what is made of them."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from horner.cli.console import say

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


def find_program(file: Path | None) -> Path | None:
    """Return where a program lies: those of the zoo are known by name."""
    from horner import zoo

    return zoo.find(file) if file else None


File = Annotated[Path, typer.Argument(metavar="FILE.horner", help=PROGRAM, callback=find_program)]
BatchNorm = Annotated[bool | None, typer.Option("--batch-norm/--no-batch-norm", help="default: as the original has it")]
Seed = Annotated[int, typer.Option(metavar="N", help="of everything random")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1")]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"] | None,
    typer.Option(help="of training, bfloat16 where the device has it natively; auto [default]: on such a GPU"),
]


def expect_writable(output: Path) -> None:
    """Refuse a path that cannot be written, before any work is done for it."""
    from horner._files import expect_writable

    expect_writable(output)


def load_images(
    name: str,
    data_dir: Path | None,
    size: str | None = None,
    channels: int | None = None,
    validation: int | None = None,
) -> Any:
    """Return the images that --data, --data-dir, --size, --channels and --validation name."""
    from horner.data import load

    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size or "1x1")
    if not found:
        raise typer.BadParameter(f"{size} is not HxW, for example 32x32", param_hint="--size")
    wanted = (int(found[1]), int(found[2])) if size else None
    return load(name, data_dir, validation=validation, size=wanted, channels=channels, announce=say)


def chip_of(name: str, optimise: Literal["size", "speed"] | None) -> Any:
    """Return a target, its C compiled for what was asked."""
    from horner.backends.c.targets import target

    chip = target(name)
    return dataclasses.replace(chip, optimise=OPTIMISE[optimise]) if optimise else chip


def rows_by_columns(text: str) -> tuple[int, int]:
    """Return the rows and columns of an array of processing elements, written as 3x3."""
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if not found:
        raise typer.BadParameter(f"--pes {text}: give rows and columns, such as 3x3")
    return int(found[1]), int(found[2])


def identifier(stem: str) -> str:
    """Return the C identifier nearest to a file's name (example.c is another file's)."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", stem)
    return f"network_{name}" if name == "example" or not re.match("[A-Za-z_]", name) else name


def preset_of(name: str | None) -> Any:
    """Return the preset of that name, if one is asked for."""
    from horner import presets

    return presets.get(name) if name else None


def asked(preset: str | None, model: str | None, data: str | None, plan: str | None = "") -> tuple[str, str, str]:
    """Return network, images and plan: what is given, and where something is not, what the preset says."""
    if preset is not None:
        found = preset_of(preset)
        return model or found.model, data or found.data, found.plan if plan is None else plan
    for name, value in (("argument 'MODEL'", model), ("option '--data'", data), ("option '--plan'", plan)):
        if value is None:
            raise typer.TyperException(f"Missing {name}, which a --preset would name")
    return str(model), str(data), str(plan)


def trained_on(file: Path) -> str:
    """Return the data set that a program of the zoo was trained on."""
    from horner import zoo

    known = zoo.recognise(file)
    if known is None:
        raise typer.TyperException("Missing option '--data', which only the programs of `horner zoo` do without")
    return known.data


def command() -> str:
    """Return what was typed, without what only this machine has: other people's folders lie elsewhere."""
    words, arguments = ["horner"], iter(sys.argv[1:])
    for word in arguments:
        if word == "--data-dir":
            next(arguments, None)
        elif not word.startswith("--data-dir="):
            words.append(Path(word).name if Path(word).is_absolute() else word)
    return shlex.join(words)


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}
