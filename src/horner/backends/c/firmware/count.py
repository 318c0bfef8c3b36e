"""Instructions counted while an emulator runs, by the layer that caused them.

The emulator calls a C function (``count.c``) before every run of instructions without a jump in between. It notes
where the run begins and ends; the sum of these notes up to an address is how often the instruction there was executed.
A helper that layers share counts for the layer whose code ran last, which is the one that called it.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from horner.backends.c.compiler import shared_library
from horner.backends.c.firmware.elf import Section
from horner.backends.c.firmware.layers import SHARED
from horner.errors import SimulationError


class _State(ctypes.Structure):
    _fields_ = (
        ("base", ctypes.c_uint64),
        ("owners", ctypes.c_void_p),
        ("steps", ctypes.c_void_p),
        ("length", ctypes.c_uint64),
        ("owner", ctypes.c_int64),
    )


class InstructionCounter:
    """Counts what is executed of a section of code.

    Parameters
    ----------
    text
        The section.
    owners
        The owner of each of its bytes, int16.
    starts
        Offsets at which its instructions begin.

    Raises
    ------
    CompileError
        When there is no C compiler for this machine.
    """

    def __init__(self, text: Section, owners: np.ndarray, starts: np.ndarray) -> None:
        self._text, self._starts = text, starts
        self._owners = np.ascontiguousarray(owners, np.int16)
        self._steps = np.zeros((int(owners.max(initial=SHARED)) + 2, text.size + 1), np.int64)
        source = (Path(__file__).parent / "count.c").read_text(encoding="utf-8")
        self._function = ctypes.CDLL(str(shared_library({"count.c": source}))).count
        self._state = _State(
            text.address, self._owners.ctypes.data, self._steps.ctypes.data, self._steps.shape[1], SHARED
        )

    def attach(self, unicorn: Any, emulator: Any) -> None:
        """Let an emulator call the C function; it must live as long as this counter.

        Python's binding takes Python functions only, which are fifty times slower.
        """
        status = unicorn.unicorn_py3.unicorn.uclib.uc_hook_add(
            emulator._uch,
            ctypes.byref(ctypes.c_size_t()),
            unicorn.UC_HOOK_BLOCK,
            ctypes.cast(self._function, ctypes.c_void_p),
            ctypes.byref(self._state),
            ctypes.c_uint64(self._text.address),
            ctypes.c_uint64(self._text.address + self._text.size - 1),
        )
        if status:
            raise SimulationError(f"the emulator takes no counter: {unicorn.UcError(status)}")

    def clear(self) -> None:
        """Begin at zero."""
        self._steps.fill(0)
        self._state.owner = SHARED

    def by_owner(self) -> Counter[int]:
        """Return the instructions executed since `clear`, by the owner that caused them."""
        executed = np.cumsum(self._steps, 1)[:, self._starts]
        owners = self._owners[self._starts]
        result: Counter[int] = Counter()
        for caller, times in enumerate(executed, SHARED):
            for owner in np.unique(owners[times > 0]):
                result[caller if owner == SHARED else int(owner)] += int(times[owners == owner].sum())
        return result
