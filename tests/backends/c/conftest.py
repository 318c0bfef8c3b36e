import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from horner.backends import c
from horner.backends.c.compiler import shared_library
from horner.program.program import Program

STRICT = ("-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow")


@dataclass
class Streaming:
    """A network of the streaming generator in a library of this machine; call it as `horner.compile`'s."""

    program: Program
    source: c.CSource
    library: ctypes.CDLL

    def __call__(self, images: np.ndarray) -> np.ndarray:
        inputs = np.ascontiguousarray(self.program.quantise(images))
        outputs = np.empty((len(inputs), *self.program.output.shape), inputs.dtype)
        getattr(self.library, f"{self.source.name}_init")()
        for image, output in zip(inputs, outputs, strict=True):
            getattr(self.library, f"{self.source.name}_run")(
                ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(output.ctypes.data)
            )
        return outputs[:, :, 0, 0] if self.program.output.shape[1:] == (1, 1) else outputs


@pytest.fixture(scope="session")
def build_all():
    """Compile many programs, as written for a target, into one library, under every warning."""

    def build(programs: Sequence, flags: Sequence[str] = ("-O1",), target: str = "generic") -> list[Streaming]:
        sources = [c.generate(program, f"n{i}", target) for i, program in enumerate(programs)]
        files = {f"{s.name}.c": s.source for s in sources} | {f"{s.name}.h": s.header for s in sources}
        library = ctypes.CDLL(str(shared_library(files, flags=["-std=c99", "-fPIC", "-shared", *flags, *STRICT])))
        return [Streaming(program, source, library) for program, source in zip(programs, sources, strict=True)]

    return build
