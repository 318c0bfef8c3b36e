"""What a layer costs on an array: cycles, accesses by level, bytes of DRAM, energy."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from horner.hardware.architecture import Architecture

LEVELS = ("register_file", "inter_pe", "buffer", "dram")


@dataclass(frozen=True)
class Accesses:
    """Words read and written at each level of the memory."""

    register_file: float = 0.0
    inter_pe: float = 0.0
    buffer: float = 0.0
    dram: float = 0.0


@dataclass(frozen=True)
class Cycles:
    """Time in cycles, by what would take it alone; the slowest one binds.

    Parameters
    ----------
    processing
        The PEs'.
    buffer, dram
        Those that the words to and from them take at the bandwidth there is.
    fill
        Until the first pass has what it needs: nothing hides it.
    """

    processing: int
    buffer: int
    dram: int
    fill: int = 0

    @property
    def binding(self) -> str:
        """The resource that the layer waits for."""
        return max(("processing", "buffer", "dram"), key=lambda name: int(getattr(self, name)))

    @property
    def total(self) -> int:
        """All of it, one behind the other where it does not overlap."""
        return int(getattr(self, self.binding)) + self.fill


@dataclass(frozen=True)
class LayerCost:
    """A layer on an array, a whole batch.

    Parameters
    ----------
    mapping
        How the layer was cut, by the letters of the dataflow.
    macs
        Multiplications with their additions that the array does.
    active
        PEs that take part in a full pass.
    accesses
        DRAM run-length coded, where that is shorter.
    dram_uncoded
        Words of DRAM without run-length coding.
    additions
        Of gather and spread units, where sums are reused.
    """

    name: str
    macs: int
    active: int
    cycles: Cycles
    accesses: Accesses
    dram_uncoded: float
    mapping: dict[str, int] = field(default_factory=dict)
    additions: int = 0

    def utilisation(self, arch: Architecture) -> float:
        """Part of the array's multiply-accumulates that do something."""
        return self.macs / (self.cycles.total * arch.pes)

    def energy(self, arch: Architecture) -> dict[str, float]:
        """Energy by level, in multiply-accumulates."""
        prices = msgspec.structs.asdict(arch.energy)
        return {"mac": self.macs * prices["mac"], "add": self.additions * prices["add"]} | {
            level: getattr(self.accesses, level) * prices[level] for level in LEVELS
        }
