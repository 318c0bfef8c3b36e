"""The same C, compiled for this machine: outputs only, nothing is counted."""

from __future__ import annotations

import ctypes
from collections import Counter

import numpy as np

from horner.backends.c.compiler import shared_library
from horner.backends.c.source import CSource


class Native:
    """A network as a library of this machine.

    Attributes
    ----------
    stack
        None: it is not looked at.

    Raises
    ------
    CompileError
        When there is no compiler.
    """

    def __init__(self, source: CSource) -> None:
        files = {f"{source.name}.c": source.source, f"{source.name}.h": source.header}
        library = ctypes.CDLL(str(shared_library(files)))
        self.stack: int | None = None
        self._run = getattr(library, f"{source.name}_run")
        getattr(library, f"{source.name}_init")()

    def run(self, data: bytes, size: int) -> bytes:
        """Classify one image."""
        image = (ctypes.c_int64 * -(-len(data) // 8)).from_buffer_copy(data.ljust(-(-len(data) // 8) * 8, b"\0"))
        output = (ctypes.c_int64 * -(-size // 8))()
        self._run(image, output)
        return bytes(output)[:size]

    def __call__(self, inputs: np.ndarray, size: int) -> np.ndarray:
        """Classify activations as the first layer reads them, ``(n, ...)``; return ``(n, size)`` of the same type."""
        outputs = np.empty((len(inputs), size), inputs.dtype)
        for image, output in zip(inputs, outputs, strict=True):
            output[:] = np.frombuffer(self.run(image.tobytes(), output.nbytes), inputs.dtype)
        return outputs

    def counts(self) -> Counter[int]:
        """Return nothing."""
        return Counter()
