"""What there is: rows and their targets, recorded runs by preset, published points, curves without retraining."""

from __future__ import annotations

import re
import statistics
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from horner import presets, record
from horner.errors import FileError
from horner.plan import Plan
from horner.presets import Preset
from horner.record import Record

SEEDS_WANTED = 3
UNTRAINED = "no-retraining-"
"""Files of benchmarks/no_retraining.py begin so."""

T = TypeVar("T")


@dataclass(frozen=True)
class Metric:
    """A number of a run: its name, how it is written, and where it is found."""

    name: str
    form: str
    of: Callable[[Record], float]

    def text(self, value: float) -> str:
        """Write a value."""
        return self.form.format(value)

    def summary(self, runs: Sequence[Record]) -> str:
        """Write the median, and the range of several."""
        values = [self.of(run) for run in runs]
        median = self.text(statistics.median(values))
        low, high = self.text(min(values)), self.text(max(values))
        return median if low == high else f"{median} ({low} to {high})"


METRICS = {
    "coefficient_ratio": Metric("coefficient ratio", "{:,.1f}x", lambda run: run.account["coefficient_ratio"]),
    "value_ratio": Metric("value ratio", "{:,.1f}x", lambda run: run.account["value_ratio"]),
    "byte_ratio": Metric("byte ratio", "{:,.1f}x", lambda run: run.account["byte_ratio"]),
    "file_bytes": Metric("bytes", "{:,.0f}", lambda run: run.account["file_bytes"]),
    "multiplications_saved": Metric(
        "multiplications saved",
        "{:.1f} %",
        lambda run: 100 * (1 - run.account["multiplications"] / run.account["dense_multiplications"]),
    ),
    "dense_accuracy": Metric("dense accuracy", "{:.2f} %", lambda run: run.accuracy["dense"].test),
    "accuracy": Metric("accuracy", "{:.2f} %", lambda run: run.accuracy["reference"].test),
    "error": Metric("error", "{:.2f} %", lambda run: 100 - run.accuracy["reference"].test),
    "drop": Metric("drop", "{:.2f}", lambda run: run.drop),
}
COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda value, bound: value >= bound,
    "<=": lambda value, bound: value <= bound,
    "<": lambda value, bound: value < bound,
}
SIGNS = {">=": "≥", "<=": "≤", "<": "<"}


@dataclass(frozen=True)
class Need:
    """A number that must be on the right side of a bound.

    >>> Need.parse("drop < 0.9").text
    'drop < 0.9'
    """

    metric: str
    sign: str
    bound: float
    written: str

    @classmethod
    def parse(cls, text: str) -> Need:
        """Read ``METRIC SIGN NUMBER``."""
        found = re.fullmatch(r"(\w+) (>=|<=|<) ([\d.]+)", text)
        if not found or found[1] not in METRICS:
            raise FileError(
                f"results/rows.toml: {text!r} is not one of {', '.join(METRICS)}, then >=, <= or <, a number"
            )
        return cls(found[1], found[2], float(found[3]), found[3])

    @property
    def text(self) -> str:
        """Write it, with the unit of its number."""
        metric = METRICS[self.metric]
        number = f"{int(self.written):,}" if self.written.isdigit() else self.written
        return f"{metric.name} {SIGNS[self.sign]} {number}{re.sub(r'{.*}', '', metric.form)}"

    def met(self, runs: Sequence[Record]) -> bool:
        """Return whether the median of some runs is on the right side."""
        return COMPARE[self.sign](statistics.median(METRICS[self.metric].of(run) for run in runs), self.bound)

    def shortfall(self, runs: Sequence[Record]) -> str:
        """Write the median."""
        metric = METRICS[self.metric]
        return f"{metric.name} {metric.text(statistics.median(metric.of(run) for run in runs))}"


@dataclass(frozen=True)
class Row:
    """A row of the table: a network on a data set, what the paper says of it, and targets, each of some needs."""

    name: str
    title: str
    paper: str
    targets: tuple[tuple[Need, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Runs:
    """A preset and its recorded runs, one a seed."""

    preset: str
    recipe: Preset
    runs: tuple[Record, ...]

    @property
    def earlier(self) -> tuple[Record, ...]:
        """Return runs recorded under other settings than the preset has now."""
        return tuple(run for run in self.runs if not follows(run, self.recipe))

    def short_of(self, target: Iterable[Need]) -> list[Need]:
        """Return what a target needs and the medians do not reach."""
        return [need for need in target if not need.met(self.runs)]


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published model."""

    data: str
    name: str
    bytes: int
    error: float
    source: str
    secondary: bool = False


class Untrained(msgspec.Struct, frozen=True):
    """A setting of a method that does not train, as benchmarks/no_retraining.py measured it."""

    method: str
    setting: str
    bytes: int
    byte_ratio: float
    coefficient_ratio: float
    accuracy: float
    drop: float


class Dense(msgspec.Struct, frozen=True):
    """The network that such methods started from."""

    accuracy: float
    bytes: int


class Contest(msgspec.Struct, frozen=True):
    """All methods that do not train, on one network."""

    model: str
    data: str
    dense: Dense
    calibration_images: int
    command: str
    points: tuple[Untrained, ...]


@dataclass(frozen=True)
class Evidence:
    """All of it."""

    rows: tuple[Row, ...]
    runs: Mapping[str, tuple[Runs, ...]]
    published: tuple[Point, ...]
    contests: tuple[Contest, ...]


def follows(run: Record, recipe: Preset) -> bool:
    """Return whether a run was asked for what a preset says now, and its dense network was trained so."""
    if run.recipe.model != recipe.model or run.recipe.data != recipe.data:
        return False
    if Plan.parse(run.recipe.plan) != Plan.parse(recipe.plan):
        return False
    dense = recipe.training(seed=run.seed)
    retraining = recipe.retrained(dense)
    wanted = {"real": retraining.real, "quantised": retraining.quantised} if retraining else {}
    if recipe.finetuning:
        if refining := recipe.finetuning.refining(dense):
            wanted["refined"] = refining
        wanted["finetuned"] = recipe.finetuning.training(dense)
    asked = [(run.dense, dense), *((run.retraining.get(name), config) for name, config in wanted.items())]
    if run.retraining.keys() != wanted.keys():
        return False
    alike = all(took is not None and _but_seed(took.settings) == _but_seed(config.decides()) for took, config in asked)
    now, then = recipe.retraining, run.recipe.retraining
    began = [
        (by.finetuning.teachers, by.finetuning.real is None) if by.finetuning else None for by in (recipe, run.recipe)
    ]
    return alike and (now.fit, now.steps, now.arrange, began[0]) == (then.fit, then.steps, then.arrange, began[1])


def gather(folder: Path) -> Evidence:
    """Read all evidence from a folder: rows.toml, published.toml and every .json.

    Raises
    ------
    FileError
        When a file is malformed, or two runs claim the same preset and seed.
    """
    rows = tuple(
        Row(**{**row, "targets": tuple(tuple(map(Need.parse, needs)) for needs in row["targets"])})
        for row in tomllib.loads((folder / "rows.toml").read_text())["row"]
    )
    published = tomllib.loads((folder / "published.toml").read_text())["point"]
    files = sorted(folder.glob("*.json"))
    records = {path: record.read(path) for path in files if not path.name.startswith(UNTRAINED)}
    for path, run in records.items():
        if run.preset not in presets.names() or _row(run.preset) not in {row.name for row in rows}:
            raise FileError(
                f"{path}: preset {run.preset} is of no row; give it one in presets.toml, or remove the file"
            )
    runs = {row.name: tuple(_runs(name, records) for name in presets.names() if _row(name) == row.name) for row in rows}
    contests = tuple(_decode(path, Contest) for path in files if path.name.startswith(UNTRAINED))
    return Evidence(rows, runs, tuple(msgspec.convert(published, list[Point])), contests)


def _row(name: str) -> str | None:
    return presets.get(name).row


def _runs(name: str, records: Mapping[Path, Record]) -> Runs:
    found: dict[int, Path] = {}
    for path, run in records.items():
        if run.preset == name:
            if run.seed in found:
                raise FileError(
                    f"{path} and {found[run.seed]} are both of preset {name} with seed {run.seed}; keep one"
                )
            found[run.seed] = path
    return Runs(name, presets.get(name), tuple(records[found[seed]] for seed in sorted(found)))


def _but_seed(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "seed"}


def _decode(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.DecodeError as error:
        raise FileError(f"{path}: {error}") from error
