"""The machines that C is generated for: what they are called, how zig compiles for them, what comes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from horner.errors import CompileError


@dataclass(frozen=True)
class Target:
    """A machine.

    Parameters
    ----------
    name
        As ``horner export --target`` takes it.
    title
        What a person calls it.
    flags
        What ``zig cc`` needs to know of the machine; nothing for the machine it runs on.
    optimise
        ``-Os`` where flash is scarcer than time, else ``-O2``.
    dsp
        Whether it multiplies two pairs of 16-bit numbers at once (Arm's DSP extension).
    """

    name: str
    title: str
    flags: tuple[str, ...] = ()
    optimise: Literal["-Os", "-O2"] = "-O2"
    dsp: bool = False

    @property
    def small(self) -> bool:
        """Whether the generator prefers shared code to fast code."""
        return self.optimise == "-Os"


def _thumb(name: str, title: str, cpu: str, abi: str, optimise: Literal["-Os", "-O2"], dsp: bool) -> Target:
    return Target(name, title, ("-target", f"thumb-freestanding-{abi}", f"-mcpu={cpu}"), optimise, dsp)


TARGETS = {
    found.name: found
    for found in (
        _thumb("cortex-m0plus", "Arm Cortex-M0+", "cortex_m0plus", "eabi", "-Os", False),
        _thumb("cortex-m4", "Arm Cortex-M4 with FPU", "cortex_m4+vfp4d16sp", "eabihf", "-O2", True),
        _thumb("cortex-m33", "Arm Cortex-M33 with FPU and DSP", "cortex_m33+dsp+fp_armv8d16sp", "eabihf", "-O2", True),
        Target("rv32imc", "RISC-V RV32IMC", ("-target", "riscv32-freestanding", "-mcpu=generic_rv32+m+c"), "-Os"),
        Target("wasm32", "WebAssembly", ("-target", "wasm32-freestanding"), "-O2"),
        Target("generic", "any machine with C99"),
    )
}
"""Every target, by name."""


def target(name: str) -> Target:
    """Return a target by its name.

    Raises
    ------
    CompileError
        When there is none of that name.

    Examples
    --------
    >>> target("cortex-m0plus").optimise
    '-Os'
    """
    if name not in TARGETS:
        raise CompileError(f"no target {name!r}; choose from {', '.join(TARGETS)}")
    return TARGETS[name]
