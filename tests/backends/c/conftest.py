from collections.abc import Sequence

import pytest

from horner.backends import c
from horner.backends.c.compiler import shared_library

STRICT = ("-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow")


@pytest.fixture(scope="session")
def build_all():
    """Compile many programs into one library, under every warning; return a network for each."""

    def build(programs: Sequence, flags: Sequence[str] = ("-O1",)) -> list[c.Compiled]:
        sources = [c.generate(program, f"n{i}") for i, program in enumerate(programs)]
        files = {f"{s.name}.c": s.source for s in sources} | {f"{s.name}.h": s.header for s in sources}
        library = shared_library(files, flags=["-std=c99", "-fPIC", "-shared", *flags, *STRICT])
        return [c.Compiled(program, source, library) for program, source in zip(programs, sources, strict=True)]

    return build
