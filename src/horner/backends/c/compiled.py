"""Generated C, compiled and run in this process."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from horner.backends.c.compiler import shared_library
from horner.backends.c.source import CSource, generate
from horner.program.program import Program


@dataclass(frozen=True, eq=False)
class Compiled:
    """A program as native code; call it with images.

    Parameters
    ----------
    program
        What was compiled.
    source
        The C that it was compiled from.
    library
        The shared library.
    """

    program: Program
    source: CSource
    library: Path

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Run the program; takes and returns what `horner.backends.reference.run` does, bit for bit for integers.

        Threads may call it at once, but one waits for the other: the network's memory is static.

        Raises
        ------
        ProgramError
            When `images` are not what the program reads.
        """
        inputs = np.ascontiguousarray(self.program.quantise(images))
        outputs = np.empty((len(inputs), *self.program.output.shape), inputs.dtype)
        loaded = _load(self.library)
        run_batch = getattr(loaded.code, f"{self.source.name}_run_batch")
        with loaded.lock:
            run_batch(
                ctypes.c_void_p(inputs.ctypes.data), ctypes.c_void_p(outputs.ctypes.data), ctypes.c_uint32(len(inputs))
            )
        return outputs[:, :, 0, 0] if self.program.output.shape[1:] == (1, 1) else outputs


def compile(  # noqa: A001
    program: Program,
    *,
    compiler: str | Sequence[str] | None = None,
    flags: Sequence[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Compiled:
    """Generate a program's C and compile it for this machine; a second time finds the first one's library.

    Parameters
    ----------
    compiler
        The command; by default zig from the ``ziglang`` package, else ``$CC``, cc, gcc or clang.
    flags
        In place of ``-std=c99 -O2 -fPIC -shared -Wall -Wextra -Werror``.
    cache
        The folder for libraries; by default under HORNER_CACHE or the user's cache.

    Raises
    ------
    CompileError
        When there is no compiler, or when it refuses the code.

    Examples
    --------
    >>> from horner.program.layers import MaxPool
    >>> from horner.program.program import Input, Program
    >>> network = compile(Program(Input((1, 2, 2)), (MaxPool(0, (2, 2), (2, 2)),)))
    >>> network(np.array([[[1, 5], [-3, 2]]], np.int8)).tolist()
    [[5]]
    """
    source = generate(program)
    files = {f"{source.name}.c": source.source, f"{source.name}.h": source.header}
    return Compiled(program, source, shared_library(files, compiler=compiler, flags=flags, cache=cache))


@dataclass(frozen=True)
class _Loaded:
    code: ctypes.CDLL
    lock: threading.Lock


_LOADING = threading.Lock()


def _load(library: Path) -> _Loaded:
    with _LOADING:  # one library is loaded once, with one lock
        return _load_once(library)


@functools.cache
def _load_once(library: Path) -> _Loaded:
    return _Loaded(ctypes.CDLL(str(library)), threading.Lock())
