"""What each layer can bear alone: approximated and fitted while all others stay dense, nothing trained."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from horner import models
from horner._files import write_atomic
from horner.approximation.api import approximate_
from horner.approximation.fit import fit_
from horner.approximation.maps import feature_maps
from horner.data import DataSet
from horner.data.progress import counting
from horner.errors import HornerError, PlanError
from horner.pipeline import Say, calibration_images
from horner.plan import EVERYTHING, AxisPlan, LayerPlan, Plan, RankedPlan, weight_shape, weighted
from horner.report.pictures import KINDS, new_figure, save, styled
from horner.training import evaluate
from horner.workflow import Trained, fitting, train_dense

if TYPE_CHECKING:
    from rich.table import Table

CALIBRATION_IMAGES = 500
FLOAT_BYTES = 4
LEVEL_BITS = (8, 4, 3, 2, 1)
SEGMENTS = (4, 8, 16)


@dataclass(frozen=True)
class Bearing:
    """One layer under one form.

    Parameters
    ----------
    drop
        Points of validation accuracy lost against the dense network.
    error
        Squared error of the layer's output on the calibration images, relative to the output's own square.
    bytes, saved
        Of the layer's weights under the form, and less than as float32.
    """

    layer: str
    form: str
    drop: float
    error: float
    bytes: int
    saved: int

    @property
    def ratio(self) -> float:
        """Bytes of the weights as float32 / bytes under the form."""
        return (self.bytes + self.saved) / self.bytes


@dataclass(frozen=True)
class Sensitivity:
    """All layers under all forms: the layer that loses most on average first, in it the cheapest form first.

    Parameters
    ----------
    dense
        Accuracy of the dense network on the validation images, in percent.
    """

    model: str
    data: str
    source: str
    dense: float
    images: int
    bearings: tuple[Bearing, ...]
    files: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as built-in types."""
        return dataclasses.asdict(self)

    def table(self) -> Table:
        """Return it as a table for the terminal."""
        from rich import box
        from rich.table import Table

        table = Table(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            caption=f"dense: {self.dense:.2f} % of {self.images:,} validation images; no retraining\n"
            "ratio: bytes of the layer's weights as float32 / bytes under the form\n"
            "error: of the layer's output, squared, relative to the output's own square",
        )
        table.add_column("layer", no_wrap=True)
        table.add_column("form", no_wrap=True)
        for heading in ("drop", "error", "bytes", "saved", "ratio"):
            table.add_column(heading, justify="right", no_wrap=True)
        last = ""
        for one in self.bearings:
            if last and one.layer != last:
                table.add_section()
            numbers = [f"{one.drop:.2f}", f"{one.error:.4f}", f"{one.bytes:,}", f"{one.saved:,}", f"{one.ratio:.1f}x"]
            table.add_row("" if one.layer == last else one.layer, one.form, *numbers)
            last = one.layer
        return table


def sensitivity(
    spec: str,
    data: DataSet,
    *,
    plan: Plan | None = None,
    output: Path | None = None,
    trained: Trained | None = None,
    batch_norm: bool | None = None,
    changes: Mapping[str, Any] | None = None,
    say: Say = lambda line: None,
) -> Sensitivity:
    """Approximate one layer after the other, by itself, and measure what is lost on the validation split.

    Parameters
    ----------
    plan
        What it says of each layer is tried; by default a set of forms: ranked weights of 1 to 8 bits, and
        polynomials along each axis.
    output
        A folder for ``sensitivity.json`` and ``sensitivity.svg``.
    trained
        The dense network. Without it one is trained first, and kept in the folder where there is one.
    """
    if trained is None:
        with tempfile.TemporaryDirectory() as scratch:
            file = (output or Path(scratch)) / "dense.safetensors"
            if not file.exists():
                train_dense(spec, data, file, batch_norm=batch_norm, changes=changes, say=say)
            trained = models.load(file, spec=spec)
    dense, data = fitting(spec, trained, data, batch_norm)
    calibration = calibration_images(data, CALIBRATION_IMAGES)
    maps = feature_maps(dense, calibration[:2])
    tried = list(_tried(dense, plan, maps))
    if not tried:
        raise PlanError("the plan leaves every layer dense; there is nothing to try")
    accuracy = evaluate(dense, data.validation, data.mean, data.std)
    found = []
    with counting("approximating one layer at a time") as report:
        for number, (name, form) in enumerate(tried):
            report(number, len(tried))
            found.append(bearing(dense, data, name, form, calibration, accuracy, maps))
    result = Sensitivity(
        spec, data.name, data.source, accuracy, len(data.validation), tuple(ordered(found)), _files(output)
    )
    if output is not None:
        try:
            picture(result.bearings, output / "sensitivity.svg")
        except HornerError as error:
            say(f"no picture: {error}")
        write_atomic(output / "sensitivity.json", json.dumps(result.to_dict(), indent=1) + "\n")
    return result


def bearing(
    dense: nn.Module,
    data: DataSet,
    name: str,
    form: LayerPlan,
    calibration: Tensor,
    accuracy: float,
    maps: Mapping[str, tuple[int, int]],
) -> Bearing:
    """Approximate one layer of a network, fit it to the layer's output, and measure."""
    model = copy.deepcopy(dense)
    plan = Plan(((name or EVERYTHING, form),))
    approximate_(model, plan, example=calibration[:2])
    fitted = fit_(model, calibration, dense)[name]
    (row,) = (row for row in plan.rows(model, maps) if row.name == name)
    drop = accuracy - evaluate(model, data.validation, data.mean, data.std)
    return Bearing(name, str(form), drop, fitted.after, row.bytes, FLOAT_BYTES * row.weights - row.bytes)


def forms(view: tuple[int, int, int, int]) -> list[LayerPlan]:
    """Return what is tried on a layer whose weight is read as (out, in, row, col).

    >>> [str(form) for form in forms((6, 1, 5, 5))][-4:]
    ['out=linear/4', 'row=linear', 'col=linear', 'row=quadratic col=quadratic']
    """
    out, in_, row, col = view
    found = [LayerPlan(ranked=RankedPlan(1, bits)) for bits in LEVEL_BITS]
    found += [LayerPlan(out=AxisPlan(1, size)) for size in SEGMENTS if size <= out]
    found += [LayerPlan(in_=AxisPlan(1, size)) for size in SEGMENTS if size <= in_]
    found += [LayerPlan(row=AxisPlan(1))] * (row > 2) + [LayerPlan(col=AxisPlan(1))] * (col > 2)
    if min(row, col) > 3:
        found.append(LayerPlan(row=AxisPlan(2), col=AxisPlan(2)))
    return found


def ordered(bearings: Sequence[Bearing]) -> list[Bearing]:
    """Sort: layers by their mean drop, the largest first; forms of a layer by their drop, the smallest first."""
    drops: dict[str, list[float]] = {}
    for one in bearings:
        drops.setdefault(one.layer, []).append(one.drop)
    mean = {layer: sum(values) / len(values) for layer, values in drops.items()}
    return sorted(bearings, key=lambda one: (-mean[one.layer], one.layer, one.drop, one.bytes))


@styled
def picture(bearings: Sequence[Bearing], path: str | os.PathLike[str]) -> Path:
    """Draw drop over byte ratio, every layer in its colour.

    Parameters
    ----------
    path
        Ends in .png, .svg or .pdf.
    """
    figure = new_figure(6.5, 3.6)
    place = figure.subplots()
    for number, layer in enumerate(dict.fromkeys(one.layer for one in bearings)):
        own = sorted((one for one in bearings if one.layer == layer), key=lambda one: one.ratio)
        style = {"color": KINDS[number % len(KINDS)], "label": layer or "(the model)"}
        place.plot([one.ratio for one in own], [one.drop for one in own], "o-", markersize=3, linewidth=0.8, **style)
    place.set(xscale="log", yscale="symlog", ylabel="points of validation accuracy lost")
    place.set_xlabel("bytes of the layer's weights as float32 / bytes under the form")
    place.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper")
    return save(figure, path)


def _tried(dense: nn.Module, plan: Plan | None, maps: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, LayerPlan]]:
    """Which layers are approximated how."""
    if plan is not None:
        yield from ((name, form) for name, form in plan.match(dense, maps=maps).items() if not form.dense)
        return
    for name, module in weighted(dense).items():
        at = maps.get(name)
        for form in forms(LayerPlan(map=at).view(weight_shape(module))):
            needs_map = at not in (None, (1, 1)) and (form.in_ or form.row or form.col)
            yield name, dataclasses.replace(form, map=at) if needs_map else form


def _files(output: Path | None) -> dict[str, str]:
    if output is None:
        return {}
    return {"numbers": str(output / "sensitivity.json"), "picture": str(output / "sensitivity.svg")}
