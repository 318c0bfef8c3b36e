"""VGG-16 for 224x224 images on the model of the chip, three images together: reported, nothing fitted.

The paper's abstract has two figures of it; the mappings that the chip was run with are not published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.eyeriss import VGG16, VGG16_BATCH, VGG16_DRAM_PER_MAC, VGG16_FRAMES_PER_SECOND
from benchmarks.markdown import grid
from horner.hardware import architecture
from horner.hardware.row_stationary import search

ARCH = architecture.load("eyeriss")
WAITS_FOR = {"processing": "PEs", "buffer": "buffer", "dram": "DRAM"}


@dataclass(frozen=True)
class Row:
    """A layer under the mapping found; words of DRAM are not coded, as nobody says which activations are zero."""

    layer: str
    active: int
    macs: int
    processing: int
    cycles: int
    waits_for: str
    buffer: float
    dram: float


def measure() -> list[Row]:
    """Return a row per layer, in the order of the network."""
    rows = []
    for shape in VGG16:
        found = search(shape, ARCH, VGG16_BATCH)
        cycles = found.cycles
        rows.append(
            Row(
                shape.name,
                found.active,
                found.macs,
                cycles.processing,
                cycles.total,
                cycles.binding,
                found.accesses.buffer,
                found.dram_uncoded,
            )
        )
    return rows


def frames_per_second(rows: Sequence[Row]) -> float:
    """Return images per second at the chip's clock, layer after layer."""
    return VGG16_BATCH * ARCH.clock_mhz * 1e6 / sum(row.cycles for row in rows)


def dram_per_mac(rows: Sequence[Row]) -> float:
    """Return words of DRAM per multiply-accumulate."""
    return sum(row.dram for row in rows) / sum(row.macs for row in rows)


def markdown(rows: Sequence[Row]) -> list[str]:
    """Return the part of the document."""
    headings = ("layer", "PEs", "processing, ms", "in all, ms", "waits for", "buffer, MB", "DRAM, MB")
    cells = [
        (
            row.layer,
            str(row.active),
            f"{row.processing / ARCH.clock_mhz / 1e3:.1f}",
            f"{row.cycles / ARCH.clock_mhz / 1e3:.1f}",
            WAITS_FOR[row.waits_for],
            f"{row.buffer * ARCH.word_bytes / 1e6:.0f}",
            f"{row.dram * ARCH.word_bytes / 1e6:.0f}",
        )
        for row in rows
    ]
    summary = (
        f"In all {frames_per_second(rows):.1f} images a second and {dram_per_mac(rows):.4f} words of DRAM a "
        f"multiply-accumulate; the chip: {VGG16_FRAMES_PER_SECOND} and {VGG16_DRAM_PER_MAC}, run-length coded."
    )
    return [*grid(headings, cells), "", summary]
