"""Named, complete recipes: network, images, plan, and how both networks are trained.

They stand in ``presets.toml`` beside this file; editing that is all it takes to change one or add one.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import tomllib
from importlib import resources
from typing import Any

import msgspec
from rich import box
from rich.table import Table

from horner.data.catalog import SETS
from horner.errors import HornerError, PresetError
from horner.models import names as models
from horner.pipeline import DISTILL_WEIGHT, FINETUNED_LR, REFINED, Fit, Retraining, gentle
from horner.plan import Plan
from horner.training import TrainConfig, recipe

FILE = "presets.toml"
OF_THE_RUN = ("seed", "device", "threads", "checkpoint_seconds")
"""Settings that a recipe has no say in."""


class Retrain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """How an approximated network is trained on; the fields are those of `Retraining.like`.

    Parameters
    ----------
    epochs
        All stages together; None for as many as the dense network had, 0 for the activation-aware fit alone.
    distill
        Share of the dense network's opinion in the loss, 0 to 1.
    fit, steps, arrange
        See `horner.pipeline.Retraining`.
    real, quantised
        Settings of `TrainConfig` that differ in that stage; the quantised one's ``epochs`` are part of all.
    """

    epochs: int | None = None
    distill: float = DISTILL_WEIGHT
    fit: Fit = "weights"
    steps: int = 1
    arrange: bool = True
    real: dict[str, Any] = {}
    quantised: dict[str, Any] = {}


class Finetune(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """How a program is trained on after that: what `horner finetune` does.

    Parameters
    ----------
    epochs
        Of it.
    distill
        Share of what teachers say in the loss, 0 to 1.
    teachers
        Programs that teach beside the program itself, as it was: files, or ``zoo:NAME``.
    settings
        Those of `TrainConfig` that differ.
    real
        None to begin with the program's integers. Otherwise it begins with what they were before rounding, and these
        are the settings of epochs in which those are trained first, as many as its ``epochs`` say; empty for none.
    plan
        By which what it begins with is approximated and rounded, if not as before: finer axes take the weights over as
        they are, coarser ones fit them. For ``real`` only.
    validation
        Training images held out, to keep the best epoch by; None for as many as before, 0 to train on all of them and
        keep the last epoch.
    """

    epochs: int
    distill: float = DISTILL_WEIGHT
    teachers: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    real: dict[str, Any] | None = None
    plan: str | None = None
    validation: int | None = None

    def refining(self, dense: TrainConfig) -> TrainConfig | None:
        """Return the settings of the epochs with real coefficients, which go with the dense network's, if any."""
        return dataclasses.replace(gentle(dense, self.distill), **REFINED | self.real) if self.real else None

    def training(self, dense: TrainConfig) -> TrainConfig:
        """Return its settings, which go with the dense network's."""
        return dataclasses.replace(
            gentle(dense, self.distill), **{"lr": FINETUNED_LR, **self.settings, "epochs": self.epochs}
        )


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A complete recipe.

    Parameters
    ----------
    model, batch_norm, data, plan
        What the command line takes under these names.
    dense
        Settings of `TrainConfig` that differ from those that suit the images.
    retraining
        How the approximated network is trained on.
    finetuning
        How the program is, if it is.
    title
        In words.
    row
        The row of docs/results.md that its runs are evidence for, if any.
    """

    model: str
    data: str
    plan: str
    batch_norm: bool
    dense: dict[str, Any] = {}
    retraining: Retrain = Retrain()
    finetuning: Finetune | None = None
    title: str = ""
    row: str | None = None

    @property
    def reading(self) -> str:
        """Return how weights find their place on a polynomial: positional, ranked, or mixed.

        >>> get("lenet5-demo").reading, get("lenet5-ranked").reading
        ('positional', 'ranked')
        """
        rules = [rule for _, rule in Plan.parse(self.plan).rules if not rule.dense]
        ranked = {rule.ranked is not None for rule in rules}
        return "mixed" if len(ranked) > 1 else "ranked" if ranked == {True} else "positional"

    def training(self, **run: Any) -> TrainConfig:
        """Return the settings of the dense network's training, with those of a run, such as its seed.

        >>> get("lenet5-demo").training(seed=1).epochs
        8
        """
        usual = recipe(SETS[self.data].shape, batch_norm=self.batch_norm)
        return dataclasses.replace(usual, **{**self.dense, **run})

    def retrained(self, dense: TrainConfig) -> Retraining | None:
        """Return the settings of retraining that go with the dense network's; None for none at all."""
        epochs = dense.epochs if self.retraining.epochs is None else self.retraining.epochs
        return Retraining.like(dense, epochs, **self.changes()) if epochs else None

    def changes(self) -> dict[str, Any]:
        """Return what `Retraining.like` takes beside settings and epochs."""
        changes = msgspec.structs.asdict(self.retraining)
        del changes["epochs"]
        return changes


def names() -> list[str]:
    """Return the presets' names, in the order of the file."""
    return list(_all())


def get(name: str) -> Preset:
    """Return a preset.

    Raises
    ------
    PresetError
        When there is none of that name, or what stands in the file makes no sense.

    >>> get("lenet5-demo").model
    'lenet5'
    """
    found = _all().get(name)
    if found is None:
        raise PresetError(f"no preset {name!r}{_hint(name, names())}; `horner presets` lists them")
    return found


def read(text: str) -> dict[str, Preset]:
    r"""Read presets from TOML text, one table each.

    Raises
    ------
    PresetError
        Naming the preset and the field at fault.

    >>> read('[mine]\nmodel = "lenet5"\ndata = "mnist"\nbatch_norm = true\nplan = "afsc"\ndense = {epoch = 3}')
    Traceback (most recent call last):
    horner.errors.PresetError: preset mine: dense.epoch is no setting of training; did you mean epochs?
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PresetError(f"presets: not TOML: {error}") from error
    return {name: _read(name, table) for name, table in tables.items()}


def table() -> Table:
    """Return all presets as a table for the terminal."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("preset", "what", "model", "images", "weights by"):
        made.add_column(heading)
    for heading in ("epochs dense", "retraining"):
        made.add_column(heading, justify="right")
    for name, preset in _all().items():
        dense = preset.training().epochs
        again = preset.retraining.epochs
        reading = {"positional": "position", "ranked": "rank", "mixed": "either"}[preset.reading]
        made.add_row(
            name, preset.title, preset.model, preset.data, reading, str(dense), str(dense if again is None else again)
        )
    return made


def text(name: str) -> str:
    """Return all that a preset says, in words and numbers, a line each."""
    fields = msgspec.to_builtins(get(name))
    plan = fields.pop("plan").strip().replace("\n", "\n  ")
    settings = {key: fields.pop(key, {}) for key in ("dense", "retraining")}
    if again := fields.pop("finetuning", None):
        settings["finetuning"] = again
    lines = [f"{key}: {value}" for key, value in {"preset": name, **fields}.items()]
    for stage, values in settings.items():
        lines += [f"{stage}: {' '.join(f'{key}={value}' for key, value in values.items()) or 'as usual'}"]
    return "\n".join([*lines, "plan:", f"  {plan}"])


@functools.cache
def _all() -> dict[str, Preset]:
    return read(resources.files("horner").joinpath(FILE).read_text(encoding="utf-8"))


def _read(name: str, table: Any) -> Preset:
    try:
        preset = msgspec.convert(table, Preset)
    except msgspec.ValidationError as error:
        raise PresetError(f"preset {name}: {error}") from error
    known = {"model": models(), "data": list(SETS)}
    for field, values in known.items():
        value = getattr(preset, field)
        if value not in values:
            raise PresetError(f"preset {name}: {field}: there is no {value!r}{_hint(value, values)}")
    stages = {"retraining.real": preset.retraining.real, "retraining.quantised": preset.retraining.quantised}
    if preset.finetuning:
        stages["finetuning.settings"] = preset.finetuning.settings
        stages["finetuning.real"] = preset.finetuning.real or {}
    for stage, settings in {"dense": preset.dense, **stages}.items():
        _check(f"preset {name}: {stage}", settings)
    try:
        Plan.parse(preset.plan)
        if preset.finetuning and preset.finetuning.plan:
            Plan.parse(preset.finetuning.plan)
        preset.retrained(preset.training())
        if preset.finetuning:
            preset.finetuning.training(preset.training())
            preset.finetuning.refining(preset.training())
    except HornerError as error:
        raise PresetError(f"preset {name}: {error}") from error
    return preset


def _check(place: str, settings: dict[str, Any]) -> None:
    """Refuse settings that training does not have or take."""
    fields = [field.name for field in dataclasses.fields(TrainConfig)]
    for key in settings:
        if key in OF_THE_RUN:
            raise PresetError(f"{place}.{key} belongs to a run, not to a recipe; leave it out")
        if key not in fields:
            raise PresetError(f"{place}.{key} is no setting of training{_hint(key, fields)}")
    try:
        msgspec.convert(settings, TrainConfig)
    except (msgspec.ValidationError, HornerError) as error:
        raise PresetError(f"{place}: {error}") from error


def _hint(word: str, words: list[str]) -> str:
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]}?" if close else ""
