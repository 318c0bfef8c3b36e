"""Programs compiled for this machine and run in this process."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from horner.backends.c.compiler import find_compiler, shared_library, working_cache
from horner.backends.c.host.isa import Isa, find_isa
from horner.backends.c.host.parts import aligned
from horner.backends.c.host.source import HostSource, generate
from horner.errors import ProgramError
from horner.program.program import Program

FLAGS = (
    *("-std=gnu11", "-O3", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wno-unused-function", "-Wno-psabi"),
    *("-fwrapv", "-fno-math-errno", "-ffp-contract=fast"),
)
"""What programs are compiled with, beside the instruction set's own flags. Sums wrap, which the bounds allow for."""


@dataclass(frozen=True, eq=False)
class Compiled:
    """A program as native code; call it with images, from as many threads as you like.

    Parameters
    ----------
    program
        What was compiled.
    source
        The C that it was compiled from, and its constants.
    library
        The shared library.
    isa
        The instruction set it was compiled for.
    threads
        How many threads share the images of one call.
    """

    program: Program
    source: HostSource
    library: Path
    isa: Isa
    threads: int = 1
    _memory: threading.local = field(default_factory=threading.local, repr=False)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Run the program; takes and returns what `horner.backends.reference.run` does, bit for bit for integers.

        Raises
        ------
        ProgramError
            When `images` are not what the program reads.
        """
        form = self._form
        if type(images) is np.ndarray and images.shape in form.single:
            # one image goes through memory whose addresses are known, which costs less than asking for others
            memory = self._thread()
            if images.dtype is _INT8 is form.kind:  # the types are singletons; comparing them takes longer
                memory.image[...] = images
                memory.run()
                return memory.result.copy()
            if images.dtype is _UINT8 and form.pixels:
                np.bitwise_xor(images, 0x80, out=memory.pixels)
                memory.run()
                return memory.result.copy()
            if images.dtype is _FLOAT32 is form.kind:
                memory.image[...] = images
                if not np.isnan(memory.values.max()):  # a maximum is NaN where there is one
                    memory.run()
                    return memory.result.copy()
        inputs = np.ascontiguousarray(self.program.quantise(images))
        count = len(inputs)
        outputs = np.empty((count, *form.output), form.kind)
        if self.threads > 1 < count:
            threads = min(self.threads, count)
            with ThreadPoolExecutor(threads) as pool:
                parts = zip(np.array_split(inputs, threads), np.array_split(outputs, threads), strict=True)
                list(pool.map(lambda part: self._run(*part), parts))
        else:
            self._run(inputs, outputs)
        return outputs[:, :, 0, 0] if form.flat else outputs

    def bind(self, inputs: np.ndarray, outputs: np.ndarray) -> Callable[[], None]:
        """Return a function that reads `inputs` and writes `outputs`, with nothing between it and the C.

        For images that come again and again into the same memory. Only one thread at a time may call it.

        Parameters
        ----------
        inputs, outputs
            C-contiguous, ``(n, channels, rows, columns)``, int8 activations (float32 for a float program).

        Raises
        ------
        ProgramError
            When shape, type or layout are others.

        Examples
        --------
        >>> from horner.program.layers import MaxPool
        >>> from horner.program.program import Input
        >>> network = compile(Program(Input((1, 2, 2)), (MaxPool(0, (2, 2), (2, 2)),)))
        >>> inputs, outputs = np.zeros((1, 1, 2, 2), np.int8), np.zeros((1, 1, 1, 1), np.int8)
        >>> run = network.bind(inputs, outputs)
        >>> inputs[:] = 7
        >>> run()
        >>> outputs.ravel().tolist()
        [7]
        """
        kind = np.int8 if self.program.integer else np.float32
        wanted = ((len(inputs), *self.program.input.shape), (len(inputs), *self.program.output.shape))
        for name, array, shape in zip(("inputs", "outputs"), (inputs, outputs), wanted, strict=True):
            if array.shape != shape or array.dtype != kind or not array.flags.c_contiguous:
                raise ProgramError(
                    f"{name} of shape {array.shape} and type {array.dtype}; wanted are {shape}, "
                    f"{np.dtype(kind)}, C-contiguous"
                )
        return self._new_memory().call(inputs, outputs)

    def _run(self, inputs: np.ndarray, outputs: np.ndarray) -> None:
        memory = self._thread()
        memory.call(inputs, outputs)()

    def _thread(self) -> _Memory:
        try:
            return self._memory.memory
        except AttributeError:
            memory = self._memory.memory = self._new_memory()
            return memory

    def _new_memory(self) -> _Memory:
        return _Memory(self.source, self._form)

    @functools.cached_property
    def _form(self) -> _Form:
        program, shape = self.program, self.program.output.shape
        return _Form(
            function=_function(self.library),
            kind=np.dtype(np.int8 if program.integer else np.float32),
            single=frozenset({program.input.shape, (1, *program.input.shape)}),
            pixels=program.integer and program.input.pixels,
            output=shape,
            flat=shape[1:] == (1, 1),
        )


@dataclass(frozen=True)
class _Form:
    """What a call needs to know, found once."""

    function: Callable[..., None]
    kind: np.dtype
    single: frozenset[tuple[int, ...]]
    pixels: bool
    output: tuple[int, int, int]
    flat: bool


class _Memory:
    """The memory one thread works in, with room for one image, and the addresses of what the C is given."""

    def __init__(self, source: HostSource, form: _Form) -> None:
        self.function, self.constants, self.arena = form.function, source.constants, aligned(source.arena_bytes)
        self.image = np.empty(max(form.single, key=len), form.kind)
        self.pixels, self.values = self.image.view(np.uint8), self.image.reshape(-1)
        outputs = np.empty((1, *form.output), form.kind)
        self.result = outputs[:, :, 0, 0] if form.flat else outputs
        self.run = self.call(self.image, outputs)

    def call(self, inputs: np.ndarray, outputs: np.ndarray) -> Callable[[], None]:
        """Return a function without arguments that reads and writes these arrays, and keeps all memory alive."""
        arrays = (self.constants, self.arena, inputs, outputs)
        arguments = np.array([*(array.ctypes.data for array in arrays), len(inputs)], np.int64)
        address = ctypes.c_void_p(arguments.ctypes.data)
        address.kept = (arrays, arguments)  # type: ignore[attr-defined]
        return functools.partial(self.function, address)


def compile(  # noqa: A001
    program: Program,
    *,
    isa: str | None = None,
    threads: int = 1,
    compiler: str | Sequence[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Compiled:
    """Generate a program's C and compile it for this machine; a second time finds the first one's library.

    Parameters
    ----------
    isa
        The instruction set: `avx512vnni`, `avx512`, `avx2`, `neon` or `portable`; by default the best this machine
        has, asked of the processor.
    threads
        Threads that share the images of one call.
    compiler
        The command; by default zig from the ``ziglang`` package, else ``$CC``, cc, gcc or clang.
    cache
        The folder for libraries; by default under HORNER_CACHE or the user's cache.

    Raises
    ------
    CompileError
        When there is no compiler, when it refuses the code, or when this machine lacks the instruction set.
    ProgramError
        When `threads` is less than one.

    Examples
    --------
    >>> from horner.program.layers import MaxPool
    >>> from horner.program.program import Input, Program
    >>> network = compile(Program(Input((1, 2, 2)), (MaxPool(0, (2, 2), (2, 2)),)))
    >>> network(np.array([[[1, 5], [-3, 2]]], np.int8)).tolist()
    [[5]]
    """
    if threads < 1:
        raise ProgramError(f"{threads} threads; at least one is needed")
    chosen = find_isa(isa)
    source = generate(program, chosen)
    command = find_compiler(compiler, working_cache(cache))
    flags = (*FLAGS, *(chosen.zig if command.zig else chosen.gcc))
    library = shared_library({"network.c": source.text}, compiler=compiler, flags=flags, cache=cache)
    return Compiled(program, source, library, chosen, threads)


_LOADING = threading.Lock()
_INT8, _UINT8, _FLOAT32 = np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.float32)


def _function(library: Path) -> Callable[..., None]:
    with _LOADING:
        return _load(library)


@functools.cache
def _load(library: Path) -> Callable[..., None]:
    run = ctypes.CDLL(str(library)).horner_run
    run.restype = None
    return run
