"""The cost model against measurement: every way to do some layers is timed, and the costs are fitted to that."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from horner._files import cache_folder, write_atomic
from horner.backends.c.compiled import FLAGS
from horner.backends.c.compiler import find_compiler, shared_library
from horner.backends.c.host.cost import COSTS, choices, estimate, features
from horner.backends.c.host.isa import Isa
from horner.backends.c.host.parts import aligned
from horner.backends.c.host.source import generate
from horner.backends.c.host.work import Work
from horner.basis import Axis
from horner.program.bounds import accumulator
from horner.program.layers import Conv, Layer, MaxPool, Output, Value
from horner.program.program import Input, Program
from horner.program.schedule import DENSE
from horner.program.weights import FLOAT_BITS, Positional, constant

MOST_WAYS = 12
"""Of one layer that are timed."""

# channels, rows, filters, kernel, padding, pool; and the segments of out, in, row, col (0: dense), from LeNet-5,
# VGG16 and ResNet-20
_LAYERS = (
    ((1, 28, 6, 5, 2, 2), (2, 0, 5, 5)),
    ((6, 14, 16, 5, 0, 2), (4, 2, 5, 5)),
    ((16, 5, 120, 5, 0, 0), (30, 4, 5, 5)),
    ((120, 1, 84, 1, 0, 0), (21, 30, 0, 0)),
    ((84, 1, 10, 1, 0, 0), (0, 21, 0, 0)),
    ((3, 32, 64, 3, 1, 0), (8, 0, 0, 0)),
    ((64, 32, 64, 3, 1, 2), (4, 4, 0, 0)),
    ((64, 16, 128, 3, 1, 0), (16, 16, 3, 3)),
    ((128, 8, 256, 3, 1, 0), (4, 4, 0, 0)),
    ((256, 13, 384, 3, 1, 0), (4, 4, 0, 0)),
    ((512, 4, 512, 3, 1, 0), (32, 32, 0, 0)),
    ((512, 2, 512, 3, 1, 0), (8, 8, 3, 3)),
    ((512, 1, 512, 1, 0, 0), (16, 16, 0, 0)),
    ((16, 32, 16, 3, 1, 0), (4, 0, 3, 0)),
    ((32, 16, 32, 3, 1, 0), (4, 4, 0, 3)),
    ((64, 8, 64, 3, 1, 0), (8, 8, 3, 3)),
)


@dataclass(frozen=True)
class Timed:
    """One way to do a layer: what it does, and the nanoseconds of one image."""

    layer: str
    work: Work
    nanoseconds: float


@dataclass(frozen=True)
class Calibration:
    """Costs fitted to measurements.

    Parameters
    ----------
    isa
        The instruction set measured.
    costs
        Nanoseconds of every feature.
    timed
        What they were fitted to.
    """

    isa: Isa
    costs: dict[str, float]
    timed: tuple[Timed, ...]

    def errors(self) -> np.ndarray:
        """Return the estimate of every way, divided by its measurement."""
        return np.array([estimate(t.work, self.costs) / t.nanoseconds for t in self.timed])

    def regrets(self) -> dict[str, float]:
        """Return, layer by layer, how much longer the way chosen takes than the fastest one measured."""
        found = {}
        for layer in dict.fromkeys(t.layer for t in self.timed):
            ways = [t for t in self.timed if t.layer == layer]
            chosen = min(ways, key=lambda t: estimate(t.work, self.costs))
            found[layer] = chosen.nanoseconds / min(t.nanoseconds for t in ways)
        return found


def calibrate(isa: Isa, step: Callable[[int, int], None] = lambda done, whole: None) -> Calibration:
    """Time some ways to do every one of some layers, and fit the costs.

    Parameters
    ----------
    step
        Called with the layers done and their number.
    """
    timed: list[Timed] = []
    programs = [*_programs()]
    for number, (name, program) in enumerate(programs):
        step(number, len(programs))
        conv, pool = program.layers[0], program.layers[1] if len(program.layers) > 1 else None
        assert isinstance(conv, Conv)
        assert pool is None or isinstance(pool, MaxPool)
        ways = sorted(
            choices(conv, program.values[0], program.values[1], pool, isa), key=lambda w: estimate(w, COSTS[isa.name])
        )
        ways = [*ways[: MOST_WAYS // 2], *ways[MOST_WAYS // 2 :: 1 + len(ways) // (MOST_WAYS // 2)]]
        timed += [Timed(name, work, ns) for work, ns in zip(ways, measure(program, ways, isa), strict=True)]
    return Calibration(isa, fit(timed), tuple(timed))


def measure(program: Program, ways: Sequence[Work], isa: Isa, rounds: int = 15) -> list[float]:
    """Return the nanoseconds of one image, for every way to do a program's one convolution: the least of some rounds.

    The ways take turns, so that what else the machine does disturbs all of them alike.
    """
    sources = [generate(program, isa, lambda *_, way=way: way) for way in ways]
    files = {f"way{i}.c": source.text.replace("horner_run", f"way{i}") for i, source in enumerate(sources)}
    flags = (*FLAGS, *(isa.zig if find_compiler().zig else isa.gcc))
    library = ctypes.CDLL(str(shared_library(files, flags=flags)))
    kind = np.int8 if program.integer else np.float32
    image = np.random.default_rng(0).integers(-128, 128, program.input.shape).astype(kind)
    output = np.empty(program.output.shape, kind)
    calls, repeats = [], []
    for i, source in enumerate(sources):
        arena = aligned(source.arena_bytes)
        calls.append(_call(getattr(library, f"way{i}"), source.constants, arena, image, output))
        calls[-1]()
        began = time.perf_counter_ns()
        calls[-1]()
        repeats.append(max(1, math.ceil(3e5 / max(time.perf_counter_ns() - began, 200))))
    best = [math.inf] * len(calls)
    for _ in range(rounds):
        for i, (call, repeat) in enumerate(zip(calls, repeats, strict=True)):
            began = time.perf_counter_ns()
            for _ in range(repeat):
                call()
            best[i] = min(best[i], (time.perf_counter_ns() - began) / repeat)
    return best


def fit(timed: Sequence[Timed]) -> dict[str, float]:
    """Return the non-negative costs with the least squares of relative errors (by coordinate descent)."""
    names = list(next(iter(COSTS.values())))
    rows = np.array([[features(t.work).get(name, 0.0) for name in names] for t in timed])
    rows /= np.array([t.nanoseconds for t in timed])[:, None]
    rows = rows[[t.work.kernel != "wide" for t in timed]]
    costs = np.zeros(len(names))
    squares = (rows * rows).sum(0)
    for _ in range(4000):
        for i in np.flatnonzero(squares):
            rest = 1 - rows @ costs + rows[:, i] * costs[i]
            costs[i] = max(0.0, float(rows[:, i] @ rest / squares[i]))
    return {name: round(float(cost), 4) for name, cost in zip(names, costs, strict=True)}


def save(calibration: Calibration) -> str:
    """Keep the costs for `horner.backends.c.host.cost.choose` on this machine; return the file's path."""
    path = cache_folder() / "c" / f"costs-{calibration.isa.name}.json"
    return str(write_atomic(path, json.dumps(calibration.costs, indent=2) + "\n"))


def _call(function: Callable[..., None], *arrays: np.ndarray) -> Callable[[], None]:
    arguments = np.array([*(array.ctypes.data for array in arrays), 1], np.int64)
    address = ctypes.c_void_p(arguments.ctypes.data)

    def call(keep: tuple[np.ndarray, ...] = (*arrays, arguments)) -> None:
        function(address)

    return call


def _programs() -> Iterator[tuple[str, Program]]:
    """Every layer in int8 and float32, with random coefficients."""
    generator = np.random.default_rng(0)
    for integer in (True, False):
        for (channels, size, filters, kernel, padding, pool), segments in _LAYERS:
            lengths = (filters, channels, kernel, kernel)
            axes = tuple(
                Axis(length, segment or None, (2 if i > 1 and kernel == 5 else 1) if segment else None)
                for i, (length, segment) in enumerate(zip(lengths, segments, strict=True))
            )
            value = Value((channels, size, size), -128 if integer else 0)
            conv = _conv(generator, axes, value, padding, integer)
            layers: tuple[Layer, ...] = (conv, MaxPool(1, (pool, pool), (pool, pool))) if pool else (conv,)
            kind = "int8" if integer else "float32"
            name = f"{channels}->{filters} {kernel}x{kernel} {size}x{size} {kind}"
            yield (
                name,
                Program(Input(value.shape, 1.0, value.zero_point, False, "int8" if integer else "float32"), layers),
            )


def _conv(generator: np.random.Generator, axes: Sequence[Axis], value: Value, padding: int, integer: bool) -> Conv:
    shape, filters = [axis.coefficients for axis in axes], axes[0].length
    core = generator.integers(-16, 16, shape)
    if not integer:
        output = Output(constant(1.0, filters, FLOAT_BITS), 0, 0, 0.0, math.inf)
        return Conv(
            0, Positional(tuple(axes), core.astype(np.float32), FLOAT_BITS), None, output, padding=(padding,) * 2
        )
    conv = Conv(
        0,
        Positional(tuple(axes), core, 5),
        None,
        Output(constant(100, filters, 8), 0, -128, -128, 127),
        padding=(padding,) * 2,
    )
    shift = max((100 * accumulator(conv, value, DENSE)).bit_length() - 11, 0)
    return dataclasses.replace(conv, output=dataclasses.replace(conv.output, shift=shift))
