"""How long a network takes on this machine: as a whole, and layer by layer beside what the cost model says."""

from __future__ import annotations

import dataclasses
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table

from horner.backends.c.compiled import Compiled
from horner.backends.c.compiled import compile as compile_program
from horner.backends.c.host.calibrate import Calibration, measure
from horner.backends.c.host.cost import cost
from horner.backends.c.host.isa import find_isa
from horner.backends.c.host.work import Work
from horner.program.layers import Layer, Value
from horner.program.program import Input, Program


@dataclass(frozen=True)
class LayerTime:
    """A convolution: how it is done, the microseconds estimated, and those measured by itself."""

    name: str
    schedule: str
    operand: str
    kernel: str
    estimated: float
    measured: float


@dataclass(frozen=True)
class Bench:
    """A network timed one image at a time on one thread.

    Parameters
    ----------
    isa
        The instruction set.
    runs
        How often one image was run.
    microseconds
        Lower quartile, median and upper quartile of a run.
    layers
        Its convolutions, each by itself.
    """

    isa: str
    runs: int
    microseconds: tuple[float, float, float]
    layers: tuple[LayerTime, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return dataclasses.asdict(self)

    def table(self) -> Group:
        """Return the layers as a table, and the whole below it."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for name in ("layer", "sums reused", "operands", "vectors of", "estimated µs", "measured µs"):
            table.add_column(name, justify="right" if "µs" in name else "left")
        for layer in self.layers:
            numbers = (f"{layer.estimated:,.2f}", f"{layer.measured:,.2f}")
            table.add_row(layer.name, layer.schedule, layer.operand, layer.kernel, *numbers)
        low, median, high = self.microseconds
        text = f"{median:,.2f} µs an image (quartiles {low:,.2f} and {high:,.2f}, {self.runs} runs), one thread, "
        text += self.isa
        return Group(table, text)


def bench(program: Program, isa: str | None = None, runs: int = 200) -> Bench:
    """Time a program.

    Parameters
    ----------
    isa
        As `horner.compile` takes it.
    runs
        Runs of one image whose quartiles are returned; a run shorter than 50 microseconds is repeated within.
    """
    network = compile_program(program, isa=isa)
    times = [seconds * 1e6 for seconds in _times(network, runs)]
    low, median, high = statistics.quantiles(times, n=4)
    layers = [_layer(name, work) for name, work in network.source.works.items()]
    return Bench(find_isa(isa).name, runs, (low, median, high), tuple(layers))


def calibration_table(calibration: Calibration) -> Group:
    """Show how well the costs foretell what was measured, and what choosing by them loses."""
    errors = calibration.errors()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("layer", "ways timed", "fastest µs", "chosen µs", "lost"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    for layer, regret in calibration.regrets().items():
        ways = [t.nanoseconds / 1e3 for t in calibration.timed if t.layer == layer]
        table.add_row(
            layer, str(len(ways)), f"{min(ways):,.2f}", f"{min(ways) * regret:,.2f}", f"{100 * (regret - 1):.0f} %"
        )
    low, median, high = np.percentile(errors, [10, 50, 90])
    regrets = list(calibration.regrets().values())
    text = (
        f"{len(errors)} ways to do {len(regrets)} layers on {calibration.isa.title}. Estimate / measurement: median "
        f"{median:.2f}, 10th to 90th percentile {low:.2f} to {high:.2f}.\n"
        f"The way chosen takes {100 * (statistics.median(regrets) - 1):.0f} % longer than the fastest in the median, "
        f"{100 * (max(regrets) - 1):.0f} % at most."
    )
    return Group(table, text)


def _times(network: Compiled, runs: int) -> list[float]:
    program = network.program
    kind = np.int8 if program.integer else np.float32
    image = np.random.default_rng(0).integers(-128, 128, (1, *program.input.shape)).astype(kind)
    run = network.bind(image, np.empty((1, *program.output.shape), kind))
    run()
    began = time.perf_counter()
    run()
    repeat = max(1, round(50e-6 / max(time.perf_counter() - began, 1e-7)))
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        for _ in range(repeat):
            run()
        times.append((time.perf_counter() - began) / repeat)
    return times


def _layer(name: str, work: Work) -> LayerTime:
    source: Value = work.source
    integer = work.operand.name != "f32"
    start = Input(source.shape, 1.0, source.zero_point, False, "int8" if integer else "float32")
    layers: tuple[Layer, ...] = (dataclasses.replace(work.conv, source=0),)
    if work.pool:
        layers += (dataclasses.replace(work.pool, source=1),)
    (nanoseconds,) = measure(Program(start, layers), [work], work.isa)
    return LayerTime(name, str(work.schedule), work.operand.name, work.kernel, cost(work) / 1e3, nanoseconds / 1e3)
