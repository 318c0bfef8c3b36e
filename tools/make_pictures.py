"""Draw the pictures of docs/concepts.md and docs/hardware.md: every line in them is computed.

Those of concepts are of a LeNet-5 trained on the embedded digits, those of hardware of the one in the zoo.

python tools/make_pictures.py [FOLDER]      FOLDER is docs/images unless given
"""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from horner import data, load, models, zoo
from horner.approximation import approximate_, approximated, originals
from horner.approximation.arrange import arrange_
from horner.basis import Axis, gather, gram
from horner.frontend.convert import to_program
from horner.hardware import architecture, compare
from horner.pipeline import calibration_images
from horner.program.file import breakdown
from horner.program.program import Program
from horner.program.schedule import count, plan, possible
from horner.report import hardware, pictures
from horner.report.pictures import AFTER, BEFORE, CURVE, new_figure, save, styled
from horner.training import TrainConfig, train

FOLDER = Path(__file__).parent.parent / "docs" / "images"
PLAN = """
conv1: out=linear/2 row=quadratic col=quadratic
conv2: out=linear/4 in=linear/2 row=quadratic col=quadratic
fc1: out=linear/30 in=linear/4 row=quadratic col=quadratic map=5x5
fc2: out=linear/21 in=linear/30
fc3: in=linear/21
"""


@styled
def axis(weights: np.ndarray, path: Path) -> Path:
    """One line of weights, three ways to store it."""
    axes = [Axis(len(weights), degree=1), Axis(len(weights), 4, 1), Axis(len(weights), 8, 2)]
    figure = new_figure(8.0, 2.2)
    for place, way in zip(figure.subplots(1, 3, sharey=True), axes, strict=True):
        fitted = way.stored @ np.linalg.lstsq(way.stored.astype(float), weights, rcond=None)[0]
        place.axhline(0, color="black", linewidth=0.4)
        place.plot(weights, "o", color=BEFORE, markersize=3.5)
        for start, size in way.pieces:
            place.plot(*pictures.curve(fitted, way, start, size), color=AFTER)
        place.plot(fitted, "o", color=AFTER, markersize=2)
        error = np.sqrt(((fitted - weights) ** 2).sum() / (weights**2).sum())
        place.set_title(f"{way}: {way.coefficients} coefficients\nfor {len(weights)} weights, error {error:.0%}")
        place.set_xlabel("position")
    return save(figure, path)


@styled
def bases(path: Path, size: int = 8) -> Path:
    """The three functions of Newton's basis, and of Gram's."""
    newton = Axis(size, degree=2).matrix
    figure = new_figure(6.4, 2.1)
    for place, basis, name in zip(
        figure.subplots(1, 2), (newton, newton @ gram(size, 3)), ("Newton: computed with", "Gram: stored"), strict=True
    ):
        for order in range(3):
            place.plot(basis[:, order], "o-", color=(BEFORE, CURVE, AFTER)[order], markersize=3, label=f"order {order}")
        place.axhline(0, color="black", linewidth=0.4)
        place.set(title=name, xlabel="t")
        place.legend()
    return save(figure, path)


@styled
def difference_engine(path: Path) -> Path:
    """Gathering by suffix sums and spreading by differences, with the numbers of docs/concepts.md."""
    figure = new_figure(8.4, 2.5)
    left, right = figure.subplots(1, 2)
    rows = [np.array([3, 1, 4, 1, 5])]
    for order in range(3):
        start = rows[-1] if order == 0 else rows[-1][1:]
        rows.append(np.cumsum(start[::-1])[::-1])
    sums = [row[0] for row in rows[1:]]
    assert sums == gather(rows[0], Axis(5, degree=2), 0).tolist()
    _grid(left, rows, [0, 0, 1, 2], ["x", "r", "r'", "r''"], "gather: each number is its right neighbour + the above")
    for order, total in enumerate(sums):
        left.text(order, -order - 1, str(total), color=AFTER, weight="bold", ha="center", va="center")
    y, d, q = 10, 1, 2
    values = Axis(5, degree=2).spread([y, d, q])
    steps = np.diff(values)
    _grid(
        right, [np.array(values), steps, np.diff(steps)], [0, 0.5, 1], ["y", "d", "q"], "spread: y grows by d, d by q"
    )
    for row, number in enumerate((y, d, q)):
        right.text(row / 2, -row, str(number), color=AFTER, weight="bold", ha="center", va="center")
    return save(figure, path)


def _grid(place: Any, rows: list[np.ndarray], shifts: list[float], names: list[str], title: str) -> None:
    place.set_axis_off()
    place.set(xlim=(-1, 5), ylim=(-len(rows) + 0.4, 0.6), title=title)
    for number, (row, shift, name) in enumerate(zip(rows, shifts, names, strict=True)):
        place.text(-0.8, -number, name, style="italic", ha="center", va="center")
        first = number > 0 or names[0] == "y"  # that one is drawn in colour
        for column, value in enumerate(row):
            if column or not first:
                place.text(column + shift, -number, str(value), ha="center", va="center")


@styled
def rounding(path: Path, bits: int = 8, lines: int = 400) -> Path:
    """What rounding the coefficients costs in either basis, on polynomials fitted to noise."""
    generator = np.random.default_rng(0)
    sizes = np.arange(4, 65, 4)
    errors = np.zeros((2, len(sizes)))
    for i, size in enumerate(sizes):
        newton = Axis(int(size), degree=2).matrix.astype(float)
        for j, basis in enumerate((newton, newton @ gram(int(size), 3))):
            coefficients = np.linalg.pinv(basis) @ generator.normal(size=(size, lines))
            step = np.abs(coefficients).max(1, keepdims=True) / ((1 << (bits - 1)) - 1)
            rounded = np.round(coefficients / step) * step
            errors[j, i] = np.sqrt(
                ((basis @ (rounded - coefficients)) ** 2).sum() / ((basis @ coefficients) ** 2).sum()
            )
    figure = new_figure(4.6, 2.4)
    place = figure.subplots()
    for error, name, colour in zip(errors, ("Newton", "Gram"), (BEFORE, AFTER), strict=True):
        place.plot(sizes, 100 * error, "o-", color=colour, label=name, markersize=3)
    place.set(xlabel="positions in a segment", ylabel="error of the weights, %", ylim=0)
    place.legend(title=f"quadratics, {bits} bits per coefficient", title_fontsize=8)
    return save(figure, path)


@styled
def tucker(dense: nn.Module, path: Path) -> Path:
    """A layer's weights, its core and what the core expands to, each as one matrix."""
    model = approximate_(copy.deepcopy(dense), PLAN)
    module, form = approximated(model)["conv2"]
    weight, fitted = (m.weight.detach().double().numpy() for m in (dense.conv2, module))
    core = form.coefficients(*originals(module)).detach().numpy()
    shown = [(weight, "dense"), (core, "core"), (fitted, "core expanded")]
    figure = new_figure(8.0, 3.4)
    ratios = [np.sqrt(values.shape[1] * values.shape[3]) for values, _ in shown]
    for place, (values, name) in zip(figure.subplots(1, 3, width_ratios=ratios), shown, strict=True):
        out, channels, rows, columns = values.shape
        matrix = values.transpose(0, 2, 1, 3).reshape(out * rows, channels * columns)
        reach = np.quantile(np.abs(matrix), 0.99)
        place.imshow(matrix, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest", aspect="auto")
        place.set(title=f"{name}, {out}x{channels}x{rows}x{columns} = {values.size:,}", xticks=[], yticks=[])
        place.set(xlabel="in, col", ylabel="out, row")
    return save(figure, path)


@styled
def arrangement(dense: nn.Module, images: torch.Tensor, path: Path) -> Path:
    """The first layer's filters before and after they were rearranged, and the error of one fit to both."""
    rule = "conv1: out=linear/3"
    moved = copy.deepcopy(dense)
    arrange_(moved, images, rule)
    figure = new_figure(6.4, 2.6)
    states = (dense, "as trained"), (moved, "rearranged")
    for place, (model, name) in zip(figure.subfigures(2, 1), states, strict=True):
        weight = model.conv1.weight.detach()
        fitted = approximate_(copy.deepcopy(model), rule).conv1.weight.detach()
        error = float((fitted - weight).norm() / weight.norm())
        reach = float(weight.abs().max())
        for i, spot in enumerate(place.subplots(1, len(weight))):
            spot.imshow(weight[i, 0], cmap="RdBu_r", vmin=-reach, vmax=reach)
            spot.set(xticks=[], yticks=[])
        place.suptitle(f"{name}: error of out=linear/3 {error:.0%}", fontsize=8)
    return save(figure, path)


@styled
def schedules(program: Program, path: Path) -> Path:
    """What every schedule of one layer costs."""
    number = program.names.index("conv2")
    conv = program.layers[number]
    source, result = program.values[conv.inputs[0]], program.values[number + 1]
    chosen = plan(conv, source, result)
    ways = sorted(possible(conv), key=lambda way: (len(way.reused), str(way)))
    counts = [count(conv, source, result, way) for way in ways]
    names = [str(way) + (" (chosen)" if way == chosen else "") for way in ways]
    figure = new_figure(6.4, 3.2)
    place = figure.subplots()
    multiplications = [c.multiplications / 1000 for c in counts]
    place.barh(names, multiplications, color=AFTER, label="multiplications")
    place.barh(names, [c.additions / 1000 for c in counts], left=multiplications, color=BEFORE, label="additions")
    place.invert_yaxis()
    place.set_xlabel("thousand per inference")
    place.spines[["top", "right"]].set_visible(False)
    place.legend()
    return save(figure, path)


def trained() -> tuple[nn.Module, torch.Tensor, data.DataSet]:
    """A LeNet-5, images for calibrating it, and the digits it was trained on."""
    os.environ.update(HORNER_OFFLINE="1", HORNER_CACHE="", HORNER_DATA="")
    digits = data.load("mnist", announce=lambda line: None)
    model = models.build("lenet5", batch_norm=True, seed=0)
    train(model, digits, TrainConfig(epochs=4, device="cpu", threads=1))
    return model.cpu(), calibration_images(digits, 200), digits


def arrays(folder: Path) -> None:
    """What LeNet-5 costs on an array with and without reuse."""
    both = compare(load(zoo.find("zoo:lenet5")), architecture.load("eyeriss"))
    hardware.energy(both, folder / "energy.png")
    hardware.roofline(both, folder / "roofline.png")
    hardware.occupation(both, folder / "occupation.png")


def main(folder: Path) -> None:
    """Draw all of them."""
    arrays(folder)
    model, images, digits = trained()
    arranged = copy.deepcopy(model)
    arrange_(arranged, images[:2], PLAN)
    line = arranged.conv2.weight.detach().double().numpy()[:, 0]  # along the filters, one input channel
    line = line.reshape(len(line), -1)
    line = line[:, np.argmax((line**2).sum(0))]
    program = to_program(approximate_(copy.deepcopy(arranged), PLAN), images, pixels=(digits.mean, digits.std))

    ranked = approximate_(copy.deepcopy(model), "conv2: ranked=quadratic/4bit")
    module, form = approximated(ranked)["conv2"]
    levels = form.levels(*originals(module)).numpy()
    table = np.full(16, np.nan)
    table[levels] = module.weight.detach().numpy()

    axis(line, folder / "axis.png")
    bases(folder / "bases.png")
    difference_engine(folder / "difference-engine.png")
    rounding(folder / "rounding.png")
    tucker(arranged, folder / "tucker.png")
    arrangement(model, images[:2], folder / "arrangement.png")
    schedules(program, folder / "schedules.png")
    pictures.levels(levels, model.conv2.weight.detach().numpy(), table, folder / "ranked.png")
    pictures.bytes_by_layer(pictures.grouped(breakdown(program)), folder / "bytes.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
