"""The main job on real images: LeNet-5 from training to compiled C, every number measured on the way."""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Group
from rich.table import Table
from torch import nn

from horner import models, presets
from horner._files import write_atomic
from horner.backends import c, reference
from horner.backends.c.firmware.native import Native
from horner.data import DataSet
from horner.errors import DataError, HornerError
from horner.evaluation import accuracy
from horner.pipeline import Approximated, Retraining, Say, approximate
from horner.plan import Plan
from horner.program import file
from horner.program.account import Account, account
from horner.program.program import Program
from horner.report.comparison import draw
from horner.training import predict, train
from horner.training.loop import threads
from horner.workflow import build, dense_info

PRESET = presets.get("lenet5-demo")
MODEL = PRESET.model
SHAPE = (1, 28, 28)
DENSE = PRESET.training()
RETRAINING = Retraining.like(DENSE, DENSE.epochs)
"""No more epochs than the dense network had."""

TIMED_IMAGES = 200


@dataclass(frozen=True)
class Row:
    """One form of the network.

    Parameters
    ----------
    accuracy
        On the test images, in percent.
    bytes
        Of the parameters as float32, or of the file.
    multiplications, additions
        Of one inference.
    microseconds
        Median time of one image on one thread, batch 1.
    """

    name: str
    accuracy: float
    bytes: int
    byte_ratio: float
    coefficient_ratio: float
    multiplications: int
    additions: int
    microseconds: float


@dataclass(frozen=True)
class Report:
    """What the demonstration measured, and where its files lie."""

    data: str
    source: str
    test_images: int
    seconds: float
    epochs: dict[str, int]
    plan: str
    rows: tuple[Row, ...]
    identical: bool
    account: Account
    files: dict[str, str]

    @property
    def drop(self) -> float:
        """Points of accuracy between the dense network and the compiled C."""
        return self.rows[0].accuracy - self.rows[-1].accuracy

    def to_dict(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "account": self.account.to_dict(),
            "drop": self.drop,
        }

    def table(self) -> Group:
        """Return the comparison, side by side, with where each file lies."""
        title = f"LeNet-5 on {self.test_images:,} {self.data} test images from {self.source}"
        table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for name in (
            "",
            "accuracy",
            "bytes",
            "byte\nratio",
            "coeff.\nratio",
            "multi-\nplied",
            "added",
            "µs per\nimage",
        ):
            table.add_column(name, justify="right" if name else "left", vertical="bottom", no_wrap=True)
        for row in self.rows:
            table.add_row(
                row.name,
                f"{row.accuracy:.2f} %",
                f"{row.bytes:,}",
                f"{row.byte_ratio:.1f}x",
                f"{row.coefficient_ratio:.1f}x",
                f"{row.multiplications:,}",
                f"{row.additions:,}",
                f"{row.microseconds:,.0f}",
            )
        where = Table(show_header=False, box=None, pad_edge=False)
        for name, path in self.files.items():
            where.add_row(name, path)
        return Group(
            table,
            "Bytes: of the parameters as float32, or of the .horner file on disk.\n"
            "Byte ratio: the dense network's bytes / these. Coefficient ratio: dense\n"
            "weights / stored coefficients. Time: median of one image at a time, one thread.\n",
            "Outputs of NumPy, expanded integers, loaded file, C for this machine and C\n"
            "for chips: equal on every image.\n"
            f"Accuracy lost from dense to C: {self.drop:.2f} points. Time in all: {self.seconds:.0f} s.\n",
            where,
        )


def run(data: DataSet, output: Path, *, seed: int = 0, say: Say = lambda line: None, progress: bool = True) -> Report:
    """Run the main job and write everything it makes to a folder.

    Parameters
    ----------
    data
        Images of 28x28 grey pixels.
    output
        The folder; an interrupted run goes on from the checkpoints kept in it.

    Raises
    ------
    DataError
        When the images are of another shape.

    Returns
    -------
    Report
        The numbers that the last table shows, also written as ``report.json``.
    """
    began = time.monotonic()
    if data.shape != SHAPE:
        raise DataError(f"the demonstration takes images of shape {SHAPE}, those of {data.name} have {data.shape}")
    output.mkdir(parents=True, exist_ok=True)
    checkpoints = output / "checkpoints"
    sizes = f"{len(data.train)} training, {len(data.validation)} validation and {len(data.test)} test images"
    say(f"{data.name}: {sizes} from {data.source}")
    paths = {
        "dense network": output / "dense.safetensors",
        "program": output / f"{MODEL}.horner",
        "numbers": output / "report.json",
    }

    dense = build(MODEL, data, True, seed)
    config = dataclasses.replace(DENSE, seed=seed)
    first = train(dense, data, config, checkpoint=checkpoints / "dense.checkpoint", progress=progress)
    say(f"dense: {first}")
    models.save(paths["dense network"], dense, dense_info(MODEL, data, True, first.accuracy))

    retraining = dataclasses.replace(
        RETRAINING,
        real=dataclasses.replace(RETRAINING.real, seed=seed),
        quantised=dataclasses.replace(RETRAINING.quantised, seed=seed),
    )
    plan = Plan.parse(PRESET.plan)
    made = approximate(dense, data, plan, retraining, checkpoints=checkpoints, say=say, progress=progress)
    file.save(made.program, paths["program"])
    say(f"{paths['program']}: {paths['program'].stat().st_size} bytes on disk")

    loaded = file.load(paths["program"])
    sources = c.write(loaded, output / "c", MODEL)
    say("compiling the generated C (the first time takes a quarter of a minute)")
    compiled = c.compile(loaded)
    written = Native(c.generate(loaded, MODEL))
    say(f"running {len(data.test)} test images through every form")
    test = data.test
    integer = {
        "reference": reference.run(made.program, test.images),
        "dense": reference.run(made.program, test.images, "dense"),
        "loaded": reference.run(loaded, test.images),
        "compiled": compiled(test.images),
        "written": written(loaded.quantise(test.images), loaded.output.size),
    }
    first_outputs = integer["reference"]
    identical = all(np.array_equal(first_outputs, outputs) for outputs in integer.values())
    if not identical:
        raise HornerError("the outputs of reference, expanded weights, loaded file and C differ; please report this")

    numbers = account(loaded, paths["program"])
    rows = _rows(dense, made.model, loaded, compiled, data, integer, numbers)
    pictures = _draw(made, loaded, output / "pictures", say)
    report = Report(
        data.name,
        data.source,
        len(test),
        round(time.monotonic() - began, 1),
        {"dense": first.epochs, **{name: result.epochs for name, result in made.runs.items()}},
        str(plan),
        rows,
        identical,
        numbers,
        {name: str(path) for name, path in {**paths, **{path.name: path for path in sources}, **pictures}.items()},
    )
    shutil.rmtree(checkpoints, ignore_errors=True)
    write_atomic(paths["numbers"], json.dumps(report.to_dict(), indent=1) + "\n")
    return report


def _draw(made: Approximated, program: Program, folder: Path, say: Say) -> dict[str, Path]:
    """Draw the pictures, or say what is missing for it: they are not worth failing for."""
    try:
        return draw(made.arranged, made.model, program, folder)
    except HornerError as error:
        say(f"no pictures: {error}")
        return {}


def _rows(
    dense: nn.Module,
    approximated: nn.Module,
    program: Program,
    compiled: Callable[[np.ndarray], np.ndarray],
    data: DataSet,
    integer: dict[str, np.ndarray],
    numbers: Account,
) -> tuple[Row, ...]:
    test = data.test
    four = 4 * numbers.dense_parameters
    real = 4 * numbers.stored_values
    one = _one_at_a_time(test.images)
    normalised = [(torch.from_numpy(image).float() - data.mean) / data.std for image in one]

    def measured(name: str, outputs: np.ndarray, size: int, cheap: bool, microseconds: float) -> Row:
        return Row(
            name,
            accuracy(outputs, test.labels),
            size,
            four / size,
            numbers.coefficient_ratio if cheap else 1.0,
            numbers.multiplications if cheap else numbers.dense_multiplications,
            numbers.additions if cheap else numbers.dense_additions,
            microseconds,
        )

    with threads(1), torch.no_grad():
        times = [
            _median_time(dense.eval(), normalised),
            _median_time(approximated.eval(), normalised),
            _median_time(lambda image: reference.run(program, image), one),
            _median_time(compiled, one),
        ]
    return (
        measured("dense (PyTorch)", predict(dense, test.images, data.mean, data.std), four, False, times[0]),
        measured(
            "approximated",
            predict(approximated, test.images, data.mean, data.std),
            real,
            False,
            times[1],
        ),
        measured("integer (NumPy)", integer["reference"], numbers.file_bytes, True, times[2]),
        measured("compiled C", integer["compiled"], numbers.file_bytes, True, times[3]),
    )


def _one_at_a_time(images: np.ndarray) -> list[np.ndarray]:
    return [np.ascontiguousarray(image[None]) for image in images[:TIMED_IMAGES]]


def _median_time(function: Callable[[Any], Any], inputs: Iterable[Any]) -> float:
    """Return the median time of one call, in microseconds."""
    times = []
    for value in inputs:
        began = time.perf_counter()
        function(value)
        times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times)
