"""Horner's Row Stationary model beside nn-dataflow, which others wrote, and beside the chip: AlexNet, batch 4.

Both search the same layers on the same array, at the same energy per access. nn-dataflow stays in an environment of its
own and is asked by `benchmarks/nn_dataflow_layers.py`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.eyeriss import BATCH, EYERISS_JSSC17_TABLE_V, Published
from benchmarks.markdown import grid
from horner.hardware import architecture
from horner.hardware.cost import LayerCost
from horner.hardware.row_stationary import cost, search

SCRIPT = Path(__file__).with_name("nn_dataflow_layers.py")
ARCH = architecture.load("eyeriss")
PEER, SEARCHED, PUBLISHED, CHIP = "nn-dataflow", "Horner, own search", "Horner, published mapping", "the chip"
MEGABYTE = 1e6


@dataclass(frozen=True)
class Row:
    """A layer as a model counts it, or as the chip was measured: all groups, four images; None is what nobody says.

    Parameters
    ----------
    cycles
        Of processing.
    register_file, inter_pe, buffer, dram
        Words by level; nothing is coded.
    coded
        Words of DRAM with run-length coding.
    energy
        In multiply-accumulates, nothing coded.
    """

    model: str
    layer: str
    cycles: float
    buffer: float
    macs: int | None = None
    register_file: float | None = None
    inter_pe: float | None = None
    dram: float | None = None
    coded: float | None = None
    energy: float | None = None


QUANTITIES = {
    "processing cycles": "cycles",
    "buffer, words": "buffer",
    "DRAM, words": "dram",
    "DRAM, words run-length coded": "coded",
    "energy, multiply-accumulates": "energy",
}
"""What the table shows, and the field of a row."""


def measure(python: Path) -> tuple[list[Row], dict[str, str]]:
    """Ask nn-dataflow, in the environment of that interpreter, then Horner; return also the versions that answered."""
    answer = _ask(python)
    theirs = [_peer(layer) for layer in answer["layers"]]
    return [*theirs, *ours()], answer["versions"]


def ours() -> list[Row]:
    """Return Horner's rows, by its own search and with the published mappings, and the chip's."""
    rows: dict[str, list[Row]] = {SEARCHED: [], PUBLISHED: [], CHIP: []}
    for published in EYERISS_JSSC17_TABLE_V:
        shape = published.shape
        plain = dataclasses.replace(shape, zeros_in=0.0, zeros_out=0.0)
        rows[SEARCHED].append(_row(SEARCHED, search(plain, ARCH, BATCH)))
        coded = cost(shape, ARCH, published.mapping, BATCH).accesses.dram
        rows[PUBLISHED].append(_row(PUBLISHED, cost(plain, ARCH, published.mapping, BATCH), coded))
        rows[CHIP].append(_chip(published))
    return [row for of_model in rows.values() for row in of_model]


def markdown(rows: Sequence[Row], versions: dict[str, str]) -> Iterator[str]:
    """Yield the generated part of the document: layers side by side, with ratios where nn-dataflow says something."""
    layers = list(dict.fromkeys(row.layer for row in rows))
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield f"Millions, of four images; in brackets, over nn-dataflow. Versions: {said}."
    yield ""
    lines = []
    for title, field in QUANTITIES.items():
        for model in dict.fromkeys(row.model for row in rows):
            values = [getattr(row, field) for row in rows if row.model == model]
            if None not in values:
                peers = [getattr(row, field) for row in rows if row.model == PEER]
                lines.append((title, model, *_cells(values, peers if model != PEER else [None])))
    yield from grid(("", "", *layers, "all"), lines)


def _cells(values: Sequence[float], peers: Sequence[float | None]) -> Iterator[str]:
    known = [peer for peer in peers if peer is not None]
    whole = len(known) == len(values)
    for number, value in enumerate([*values, math.fsum(values)]):
        ratio = f" ({value / [*known, math.fsum(known)][number]:.2f}x)" if whole else ""
        yield f"{value / 1e6:,.{2 if value < 1e8 else 0}f}{ratio}"


def _ask(python: Path) -> dict[str, Any]:
    pad = ARCH.scratchpad
    question = {
        "batch": BATCH,
        "goal": "ed",  # energy times time, as Horner
        "bypass": [True, False, False],  # filters need not lie in the buffer
        "array": {
            "rows": ARCH.rows,
            "columns": ARCH.columns,
            "buffer": ARCH.buffer_words,
            "register_file": pad.filter + pad.ifmap + pad.psum,
            "dram_bandwidth": ARCH.bandwidth.dram,
        },
        "energy": msgspec.to_builtins(ARCH.energy),
        "layers": [_question(published) for published in EYERISS_JSSC17_TABLE_V],
    }
    # -I: neither this folder nor anything of the user's is on the path
    command = [str(python), "-I", "-W", "ignore", str(SCRIPT)]
    done = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"nn-dataflow failed:\n{done.stderr}")
    return json.loads(done.stdout)


def _question(published: Published) -> dict[str, Any]:
    """Describe one group of a layer."""
    shape = published.shape
    return {
        "name": shape.name,
        "groups": shape.groups,
        "channels": shape.channels // shape.groups,
        "filters": shape.filters // shape.groups,
        "kernel": shape.kernel,
        "stride": shape.stride,
        "outputs": shape.outputs,
    }


def _peer(layer: dict[str, Any]) -> Row:
    words = {level: math.fsum(parts.values()) for level, parts in layer["accesses"].items()}
    return Row(PEER, layer["name"], layer["cycles"], macs=layer["macs"], energy=layer["energy"], **words)


def _row(model: str, found: LayerCost, coded: float | None = None) -> Row:
    words = dataclasses.asdict(found.accesses)
    energy = math.fsum(found.energy(ARCH).values())
    return Row(model, found.name, found.cycles.processing, macs=found.macs, coded=coded, energy=energy, **words)


def _chip(published: Published) -> Row:
    """Translate milliseconds and megabytes into cycles and words."""
    cycles = published.processing_ms * 1e3 * ARCH.clock_mhz
    buffer, dram = (size * MEGABYTE / ARCH.word_bytes for size in (published.buffer_mb, published.dram_mb))
    return Row(CHIP, published.shape.name, cycles, buffer, coded=dram)
