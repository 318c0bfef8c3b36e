"""A network as a WebAssembly module: built by zig, run by wasmtime, its instructions counted as fuel."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from horner.backends.c.compiler import ZIG, built
from horner.backends.c.firmware.extras import expect_zig, need
from horner.backends.c.firmware.image import templates
from horner.backends.c.firmware.layers import SHARED
from horner.backends.c.source import CSource
from horner.backends.c.targets import Target
from horner.errors import SimulationError
from horner.program.program import Program

_PAINT = 0xC5
_PLENTY = 1 << 60  # of fuel


def build_module(program: Program, source: CSource, target: Target) -> Path:
    """Build a module without imports: ``NAME_run``, its memory, and where in it image and outputs lie.

    Raises
    ------
    MissingToolError
        When zig is not installed.
    """
    expect_zig("a WebAssembly module")
    files = {
        f"{source.name}.c": source.source,
        f"{source.name}.h": source.header,
        "buffers.c": templates()
        .get_template("buffers.c.jinja")
        .render(name=source.name, T="int8_t" if program.integer else "float"),
    }
    exported = (
        f"{source.name}_init",
        f"{source.name}_run",
        "network_input",
        "network_output",
        "__stack_pointer",
        "__data_end",
        "__global_base",
    )
    flags = (*target.flags, target.optimise, "-std=c99", "-Wall", "-Wextra", "-Werror", "-nostdlib")
    link = ("-Wl,--no-entry", "-Wl,-z,stack-size=65536", *(f"-Wl,--export={name}" for name in exported))
    return built(files, ".wasm", flags=(*flags, *link), compiler=ZIG)


class WebAssembly:
    """A module that has started.

    Parameters
    ----------
    module
        The file.
    name
        The network's name in C.

    Attributes
    ----------
    stack
        Bytes of the stack in linear memory that the last run touched.

    Raises
    ------
    MissingToolError
        When wasmtime is not installed.
    """

    def __init__(self, module: Path, name: str) -> None:
        self._wasmtime = need("wasmtime", "running WebAssembly", "pip install wasmtime")
        config = self._wasmtime.Config()
        config.consume_fuel = True
        engine = self._wasmtime.Engine(config)
        self._store = self._wasmtime.Store(engine)
        self._store.set_fuel(_PLENTY)
        self._exports = self._wasmtime.Instance(
            self._store, self._wasmtime.Module.from_file(engine, str(module)), []
        ).exports(self._store)
        self._run = self._exports[f"{name}_run"]
        self._fuel = 0
        self.stack: int | None = 0
        self._exports[f"{name}_init"](self._store)

    def run(self, data: bytes, size: int) -> bytes:
        """Classify one image."""
        memory, store = self._exports["memory"], self._store
        image, output, top = (self._value(n) for n in ("network_input", "network_output", "__stack_pointer"))
        memory.write(store, bytes([_PAINT]) * top, 0)
        memory.write(store, data, image)
        before = store.get_fuel()
        try:
            self._run(store, image, output)
        except self._wasmtime.Trap as error:
            raise SimulationError(f"the WebAssembly module stopped: {error}") from error
        self._fuel = before - store.get_fuel()
        touched = np.flatnonzero(np.frombuffer(bytes(memory.read(store, 0, top)), np.uint8) != _PAINT)
        self.stack = top - int(touched[0]) if touched.size else 0
        return bytes(memory.read(store, output, output + size))

    def counts(self) -> Counter[int]:
        """Return the WebAssembly instructions of the last run, which no layer is known of."""
        return Counter({SHARED: self._fuel})

    def _value(self, name: str) -> Any:
        return self._exports[name].value(self._store)
