"""Accuracy against bytes without retraining: ``python -m benchmarks.no_retraining --help``.

Every method sees the dense network and the same training images, without their labels: Horner's plans are fitted to
outputs; peers (`benchmarks.peer_weights`) round weights. Batch norms are then estimated anew from those images, and
activations become int8 alike. Nothing is chosen by the test split; every number printed reads it once.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import itertools
import json
import math
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
import typer
from rich.console import Console
from torch import nn
from torch.optim.swa_utils import update_bn

from benchmarks import machine, peer_weights, sensitivity
from horner import data as data_sets
from horner import models
from horner._files import write_atomic
from horner.approximation import approximate_, fit_
from horner.data import DataSet
from horner.evaluation import Backend, accuracy, runner
from horner.frontend.convert import to_program
from horner.pipeline import calibration_images
from horner.plan import weighted
from horner.program.account import FLOAT_BYTES, account
from horner.program.file import breakdown, save
from horner.program.program import Program
from horner.training import evaluate
from horner.workflow import normalised

Layer = nn.Conv2d | nn.Linear

ROOT = Path(__file__).parent.parent
VALIDATION_IMAGES = 500
"""That bits per layer are chosen by."""

EXACT_BITS = 14
"""Of a weight in the program that a peer's weights are run in: enough to hold them, few enough for int32 sums."""


def _curves(degree: str, bits: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"ranked={degree}/{b}bit{each}" for b in bits for each in ("", " per_filter"))


PLANS = {
    "Horner, linear curve": _curves("linear", (2, 3, 4, 5, 6)),
    "Horner, quadratic curve": _curves("quadratic", (2, 3, 4, 5)),
    "Horner, ternary": tuple(f"ranked=linear/3level zero{more}" for more in ("", " per_filter", " dead=1.2")),
    "Horner, positional": ("col=linear", "in=linear/4", "out=linear/4", "in=linear/8", "row=quadratic col=quadratic"),
}
RULES = ("ranked=linear/3level zero", *(f"ranked=linear/{bits}bit per_filter" for bits in (2, 3, 4, 5, 6)))
"""That plans of different bits by layer are put together from."""

BUDGETS = (1.6, 1.8, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0)
"""Bits per weight of such plans: the entropy of their levels."""

WIDTHS = (8, 6, 5, 4, 3, 2)
CLUSTERS = (4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Point:
    """A method and setting, everything that it stores, and how often it is right."""

    method: str
    setting: str
    bytes: int
    byte_ratio: float
    coefficient_ratio: float
    accuracy: float
    drop: float
    plan: str | None = None


@dataclass(frozen=True, eq=False)
class Contest:
    """What all methods are given."""

    dense: nn.Module
    data: DataSet
    calibration: torch.Tensor
    dense_accuracy: float
    backend: Backend = "c"

    @property
    def dense_bytes(self) -> int:
        """Bytes of the float32 parameters."""
        return FLOAT_BYTES * sum(p.numel() for p in self.dense.parameters())

    @property
    def weights(self) -> int:
        """Weights of all layers."""
        return sum(layer.weight.numel() for layer in weighted(self.dense).values())

    def horner(self, method: str, plan: str) -> Point:
        """Fit a plan to outputs; its bytes are those of the file on disk."""
        model = approximate_(copy.deepcopy(self.dense), plan, example=self.calibration[:2])
        fit_(model, self.calibration, self.dense)
        program = self._program(model)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "network.horner"
            size = save(program, file)
            ratio = account(program, file).coefficient_ratio
        return self._point(method, plan, size, ratio, program)

    def mixed(self, method: str, bits: float) -> Point:
        """Fit a plan that spends so many bits per weight where they matter."""
        plan = sensitivity.spend(self._choices, bits * self.weights)
        point = self.horner(method, plan)
        return dataclasses.replace(point, setting=_about(bits), plan=plan)

    def peer(self, method: str, setting: str, store: Callable[[Layer, bool], peer_weights.Stored]) -> Point:
        """Round weights; bytes are those of the file without its weights, and what the peer stores in their place."""
        model = copy.deepcopy(self.dense)
        bits, values = 0, 0
        for layer in weighted(model).values():
            stored = store(layer, layer.bias is None)  # without a bias, a norm follows, which has multipliers
            layer.weight.data.copy_(stored.weight)
            bits, values = bits + stored.bits, values + stored.values
        program = self._program(model, f"dense bits={EXACT_BITS}")
        rest = sum(size for part, size in breakdown(program) if part.split()[-1] not in ("coefficients", "shifts"))
        return self._point(method, setting, math.ceil(rest + bits / 8), self.weights / values, program)

    @functools.cached_property
    def _choices(self) -> sensitivity.Choices:
        images = torch.from_numpy(self.data.validation.images[:VALIDATION_IMAGES]).float()
        images = (images - self.data.mean) / self.data.std
        return sensitivity.choices(self.dense, RULES, self.calibration, images)

    def _program(self, model: nn.Module, plan: str | None = None) -> Program:
        if normalised(model):
            update_bn([self.calibration], model)
        return to_program(model.eval(), self.calibration, plan=plan, pixels=(self.data.mean, self.data.std))

    def _point(self, method: str, setting: str, size: int, ratio: float, program: Program) -> Point:
        found = accuracy(runner(program, self.backend)(self.data.test.images), self.data.test.labels)
        drop = round(self.dense_accuracy - found, 4)
        return Point(method, setting, size, self.dense_bytes / size, ratio, round(found, 4), drop)


@dataclass(frozen=True)
class Task:
    """A point yet to be made."""

    method: str
    setting: str
    make: Callable[[], Point]


def tasks(contest: Contest) -> Iterator[Task]:
    """Yield every method in every setting."""
    for method, plans in PLANS.items():
        for plan in plans:
            yield Task(method, plan, functools.partial(contest.horner, method, plan))
    for bits in BUDGETS:
        method = "Horner, bits by layer"
        yield Task(method, _about(bits), functools.partial(contest.mixed, method, bits))
    for width, per_channel in itertools.product(WIDTHS, (False, True)):
        method, setting = "round to nearest", f"int{width} per {'channel' if per_channel else 'tensor'}"
        store = functools.partial(_rounded, bits=width, per_channel=per_channel)
        yield Task(method, setting, functools.partial(contest.peer, method, setting, store))
    for clusters in CLUSTERS:
        method, setting = "k-means", f"{clusters} clusters per layer"
        yield Task(
            method,
            setting,
            functools.partial(contest.peer, method, setting, functools.partial(_shared, clusters=clusters)),
        )


def main(
    model: Annotated[str, typer.Option(help="A built-in network, or package.module:function.")] = "resnet20",
    trained: Annotated[Path, typer.Option("--from", help="The dense network, as horner train writes it.")] = ...,  # type: ignore[assignment]
    data: Annotated[str, typer.Option(help="The data set it was trained on.")] = "cifar-10",
    data_dir: Annotated[Path | None, typer.Option(help="A folder with official files.")] = None,
    output: Annotated[Path | None, typer.Option(help="By default results/no-retraining-MODEL.json.")] = None,
    calibration: Annotated[int, typer.Option(help="Training images that everything is fitted to.", min=10)] = 1000,
    only: Annotated[
        list[str] | None, typer.Option(help='Only "METHOD: SETTING" that hold this text, or one of several.')
    ] = None,
    threads: Annotated[int, typer.Option(help="Of the CPU.", min=1)] = 1,
) -> None:
    """Draw accuracy against bytes of Horner's plans, of round-to-nearest and of k-means, all without retraining.

    Points that the output file already holds, of the same dense network, are kept, so that an interrupted run goes on.
    """
    torch.set_num_threads(threads)
    output = output or ROOT / "results" / f"no-retraining-{model.split(':')[-1]}.json"
    found = data_sets.load(data, data_dir)
    dense, info = models.load(trained, spec=model)
    found = dataclasses.replace(found, mean=round(info.mean), std=info.std)
    images = calibration_images(found, calibration)
    identity = hashlib.sha256(trained.read_bytes()).hexdigest()
    kept = _kept(output, identity)
    console = Console(stderr=True)
    contest = Contest(dense.eval(), found, images, evaluate(dense, found.test, found.mean, found.std))
    console.print(f"dense: {contest.dense_accuracy:.2f} %, {contest.dense_bytes:,} bytes; {len(kept)} points are there")
    report: dict[str, Any] = {
        "model": model,
        "data": data,
        "dense": {"accuracy": contest.dense_accuracy, "bytes": contest.dense_bytes, "sha256": identity},
        "calibration_images": calibration,
        "command": shlex.join(["python", "-m", "benchmarks.no_retraining", *sys.argv[1:]]),
        "machine": machine.name(),
    }
    points = []
    for task in tasks(contest):
        point = kept.get((task.method, task.setting))
        wanted = any(text in f"{task.method}: {task.setting}" for text in only or [""])
        if point is None and wanted:
            with console.status(f"{task.method}: {task.setting}"):
                point = msgspec.to_builtins(task.make())
            numbers = "{accuracy:.2f} %, {bytes:,} bytes, {byte_ratio:.1f}x".format(**point)
            console.print(f"{numbers}  {task.method}: {task.setting}", soft_wrap=True)
        if point is not None:
            points.append(point)
            kept.pop((task.method, task.setting), None)
            write_atomic(output, json.dumps({**report, "points": [*points, *kept.values()]}, indent=1) + "\n")


def _about(bits: float) -> str:
    return f"about {bits:g} bits per weight"


def _rounded(layer: Layer, scaled: bool, bits: int, per_channel: bool) -> peer_weights.Stored:
    return peer_weights.nearest(layer.weight.data, bits, per_channel, scaled)


def _shared(layer: Layer, scaled: bool, clusters: int) -> peer_weights.Stored:
    return peer_weights.shared(layer.weight.data, clusters)


def _kept(output: Path, identity: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Points of the same dense network that a run before this one made."""
    if not output.exists():
        return {}
    report = json.loads(output.read_text())
    if report["dense"].get("sha256") != identity:
        return {}
    return {(point["method"], point["setting"]): point for point in report["points"]}


if __name__ == "__main__":
    typer.run(main)
