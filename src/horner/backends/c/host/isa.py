"""Instruction sets the host's C is written for, and which of them this machine has."""

from __future__ import annotations

import ctypes
import functools
import platform
from dataclasses import dataclass
from pathlib import Path

from horner.errors import CompileError


@dataclass(frozen=True)
class Isa:
    """An instruction set.

    Parameters
    ----------
    name, title
        As options and tables call it.
    machines
        What `platform.machine` may say where it exists; nothing for every machine.
    lanes
        32-bit words in a vector register.
    accumulators
        Vector registers that a kernel may fill with sums.
    zig, gcc
        The compilers' flags.
    byte_products
        Whether four products of bytes are summed by one instruction.
    """

    name: str
    title: str
    machines: tuple[str, ...]
    lanes: int
    accumulators: int
    zig: tuple[str, ...] = ()
    gcc: tuple[str, ...] = ()
    byte_products: bool = False


_X86, _ARM = ("x86_64", "AMD64", "amd64"), ("aarch64", "arm64", "ARM64")

ISAS = {
    isa.name: isa
    for isa in (
        Isa(
            "avx512vnni",
            "AVX-512 with VNNI",
            _X86,
            16,
            24,
            ("-mcpu=x86_64_v4+avx512vnni",),
            ("-march=x86-64-v4", "-mavx512vnni"),
            True,
        ),
        Isa("avx512", "AVX-512", _X86, 16, 24, ("-mcpu=x86_64_v4",), ("-march=x86-64-v4",)),
        Isa("avx2", "AVX2", _X86, 8, 12, ("-mcpu=x86_64_v3",), ("-march=x86-64-v3",)),
        Isa("neon", "NEON", _ARM, 4, 24, ("-mcpu=baseline",)),
        Isa("portable", "portable C", (), 4, 12, ("-mcpu=baseline",)),
    )
}
"""By name, the best first."""

_PROBE = Path(__file__).parent / "templates" / "probe.c"


def find_isa(name: str | None = None) -> Isa:
    """Return an instruction set by its name, or the best of this machine.

    Raises
    ------
    CompileError
        When the name is none, or when this machine lacks what is asked for.

    Examples
    --------
    >>> find_isa("portable").lanes
    4
    """
    if name is not None and name not in ISAS:
        raise CompileError(f"no instruction set {name!r}; there are {', '.join(ISAS)}")
    present = available()
    if name is None:
        return present[0]
    if ISAS[name] not in present:
        raise CompileError(f"this machine lacks {ISAS[name].title}; it has {', '.join(isa.name for isa in present)}")
    return ISAS[name]


@functools.cache
def available() -> tuple[Isa, ...]:
    """Return the instruction sets of this machine, the best first: asked of the processor, by compiled code."""
    here = [isa for isa in ISAS.values() if not isa.machines or platform.machine() in isa.machines]
    if platform.machine() not in _X86:
        return tuple(here)
    from horner.backends.c.compiler import shared_library

    level = ctypes.CDLL(str(shared_library({"probe.c": _PROBE.read_text()}))).horner_probe()
    needed = {"avx512vnni": 3, "avx512": 2, "avx2": 1}
    return tuple(isa for isa in here if level >= needed.get(isa.name, 0))
