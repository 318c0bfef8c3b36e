"""What a step of training costs, beside a dense one: ``python -m benchmarks.training --help``.

The dense network of a preset, the approximated one and the quantised one take steps in turn, on all cores. Images are
noise, on which time does not depend. The same again where the C library gives freed memory back to the system, as it
does without `horner.training.memory`; the dense step also without `horner.training.lowering`, where that does anything.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from unittest import mock

import msgspec
import numpy as np
import torch
import typer
from rich.console import Console

from benchmarks.markdown import grid, insert
from benchmarks.timing import interleave
from horner import presets
from horner._files import write_atomic
from horner.approximation import approximate_
from horner.approximation.factored import factored
from horner.data import DataSet, Split
from horner.data.catalog import SETS
from horner.data.dataset import assemble
from horner.frontend.convert import quantised
from horner.pipeline import calibration_images, relative_groups
from horner.plan import Plan
from horner.training import TrainConfig, lowering
from horner.training.config import autocast_dtype
from horner.training.distributed import joined
from horner.training.loop import Run
from horner.training.memory import keep_freed_memory
from horner.training.spent import Machine, describe
from horner.workflow import build

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "training.json"
DOCUMENT = ROOT / "docs" / "performance.md"
PRESETS = ("lenet5", "lenet5-ranked", "lenet-fashion", "lenet5-caffe-1k", "resnet20", "alexnet", "vgg16")
IMAGES = 2000
GIVEN_BACK = {"MALLOC_ARENA_MAX": "8"}
"""A setting of the user's own, which one thread of allocations never reaches: Horner leaves memory as it finds it."""

CPU = torch.device("cpu")


class Steps(msgspec.Struct, frozen=True):
    """Median milliseconds of a step of each stage, images a step, and whether bfloat16 was native.

    `unlowered` is the dense step where torch's own kernels convolve the small maps too, if Horner lowers any.
    """

    dense: float
    real: float
    quantised: float
    batch: int
    bfloat16: bool
    unlowered: float | None = None


@dataclass(frozen=True)
class Row:
    """A preset: its steps, the same where memory is given back, and its epochs of all three stages."""

    preset: str
    kept: Steps
    given_back: Steps
    epochs: tuple[int, int, int]

    @property
    def retraining(self) -> float:
        """All of retraining, as a multiple of training the dense network."""
        dense, real, last = self.epochs
        return (real * self.kept.real + last * self.kept.quantised) / (dense * self.kept.dense)


@dataclass(frozen=True)
class Report:
    """Everything that a run measured."""

    date: str
    runs: int
    machine: Machine
    rows: list[Row]


def noise(name: str) -> DataSet:
    """Images of a set's shape."""
    generator = np.random.default_rng(0)
    shape, classes = SETS[name].shape, 10

    def split(count: int) -> Split:
        return Split(generator.integers(0, 256, (count, *shape), np.uint8), np.arange(count) % classes)

    names = tuple(map(str, range(classes)))
    return assemble(name, names, split(IMAGES), split(100), validation=100, seed=0, source="noise", complete=False)


def measure(name: str, runs: int) -> Steps:
    """Time the steps of a preset in this process."""
    preset = presets.get(name)
    data, plan = noise(preset.data), Plan.parse(preset.plan)
    calibration = calibration_images(data, 200)
    config = preset.training()
    settings = preset.retrained(config)
    if settings is None:
        raise typer.BadParameter(f"{name} retrains nothing")
    dense, real = (build(preset.model, data, preset.batch_norm, 0) for _ in range(2))
    approximate_(real, plan, example=calibration[:2])
    last = quantised(real, calibration, plan, (data.mean, data.std))
    keep_freed_memory()
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(joined(CPU))
        for model in (real, last):
            stack.enter_context(factored(model))

        def step(model: torch.nn.Module, config: TrainConfig, approximated: bool) -> Run:
            teacher = dense if config.distill_weight > 0 else None
            run = Run(model, data, config, teacher, relative_groups if approximated else None, None, group, CPU)
            run.begin_epoch()
            return run

        takers = step(dense, config, False), step(real, settings.real, True), step(last, settings.quantised, True)
        steps = [functools.partial(_step, run) for run in takers]
        native = autocast_dtype(config.precision, CPU) is not None
        lowered = native and lowering.has_amx()
        times = interleave([*steps, *([functools.partial(_unlowered_step, takers[0])] if lowered else [])], runs)
    dense_ms, real_ms, quantised_ms, *unlowered_ms = (round(time.median / 1e3, 2) for time in times)
    return Steps(dense_ms, real_ms, quantised_ms, config.batch_size, native, *unlowered_ms)


def _step(run: Run) -> None:
    run.step = 0  # the schedule's, which time does not depend on either
    run.train_step()


def _unlowered_step(run: Run) -> None:
    with mock.patch.object(lowering, "has_amx", return_value=False):
        _step(run)


def main(
    only: Annotated[list[str] | None, typer.Option(help="A preset; may be repeated.")] = None,
    runs: Annotated[int, typer.Option(help="Samples of every step.", min=3)] = 5,
    json: Annotated[Path | None, typer.Option(help="Write the results there.")] = None,
    write_docs: Annotated[
        bool, typer.Option(help="Write benchmarks/results/training.json and docs/performance.md.")
    ] = False,
) -> None:
    """Time steps of training: dense, approximated and quantised."""
    if write_docs and only:
        raise typer.BadParameter("the document holds a run over everything; leave out --only")
    rows = []
    for name in only or PRESETS:
        kept, back = _apart(name, runs, {}), _apart(name, runs, GIVEN_BACK)
        preset = presets.get(name)
        config = preset.training()
        settings = preset.retrained(config)
        assert settings is not None
        rows.append(Row(name, kept, back, (config.epochs, settings.real.epochs, settings.quantised.epochs)))
        Console().print(*cells(rows[-1]), sep="  ", markup=False)
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    report = Report(date, runs, describe(TrainConfig(device="cpu")), rows)
    for path in filter(None, (json, RESULTS if write_docs else None)):
        write_atomic(path, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    if write_docs:
        write_atomic(DOCUMENT, insert(DOCUMENT.read_text(encoding="utf-8"), parts(report)))


HEADINGS = ("preset", "dense", "approximated", "quantised", "retraining, of dense training", "dense, not lowered",
            "dense, memory given back", "approximated, memory given back")  # fmt: skip


def cells(row: Row) -> list[str]:
    """Return a row's cells under `HEADINGS`: milliseconds of a step, and how they compare."""
    kept, back = row.kept, row.given_back
    return [
        f"`{row.preset}`",
        f"{kept.dense:,.1f}",
        *(f"{time:,.1f} ({time / kept.dense:.2f}x)" for time in (kept.real, kept.quantised)),
        f"{row.retraining:.2f}x",
        "" if kept.unlowered is None else f"{kept.unlowered:,.1f} ({kept.unlowered / kept.dense:.2f}x)",
        *(f"{then:,.1f} ({then / now:.2f}x)" for now, then in ((kept.dense, back.dense), (kept.real, back.real))),
    ]


def parts(report: Report) -> dict[str, str]:
    """Return the generated part of the document."""
    machine, rows = report.machine, report.rows
    native = {row.kept.bfloat16 for row in rows}
    forward = "float32" if native == {False} else "bfloat16, native here, where the preset asks for it"
    about = (
        f"Measured {report.date} on {machine.processor}, {machine.cores} cores, {machine.threads} threads, torch "
        f"{machine.torch}; forward passes in {forward}; medians of {report.runs}."
    )
    return {"benchmarks.training": "\n".join([about, "", *grid(HEADINGS, [cells(row) for row in rows])])}


def _apart(name: str, runs: int, settings: dict[str, str]) -> Steps:
    """Measure in a process of its own: what the C library does with memory is decided once."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    measured = f"msgspec.json.encode(measure({name!r}, {runs})).decode()"
    code = f"import msgspec; from benchmarks.training import measure; print({measured})"
    done = subprocess.run(
        [sys.executable, "-c", code], env=plain | settings, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    return msgspec.json.decode(done.stdout, type=Steps)


if __name__ == "__main__":
    typer.run(main)
