import os
from collections.abc import Sequence

import pytest

from horner.backends import c
from horner.backends.c.compiler import shared_library, working_cache

STRICT = ("-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Libraries go to a folder of this run; what zig keeps for every run stays where the user has it."""
    with pytest.MonkeyPatch.context() as patch:
        if "ZIG_GLOBAL_CACHE_DIR" not in os.environ:
            patch.setenv("ZIG_GLOBAL_CACHE_DIR", str(working_cache() / "zig"))
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("HORNER_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def build_all():
    """Compile many programs into one library, under every warning; return a network for each."""

    def build(programs: Sequence, flags: Sequence[str] = ("-O1",)) -> list[c.Compiled]:
        sources = [c.generate(program, f"n{i}") for i, program in enumerate(programs)]
        files = {f"{s.name}.c": s.source for s in sources} | {f"{s.name}.h": s.header for s in sources}
        library = shared_library(files, flags=["-std=c99", "-fPIC", "-shared", *flags, *STRICT])
        return [c.Compiled(program, source, library) for program, source in zip(programs, sources, strict=True)]

    return build
