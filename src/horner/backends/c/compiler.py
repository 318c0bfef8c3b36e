"""The C and C++ compilers of this machine, and what they built, kept by the hash of what went into it."""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from horner._files import cache_folder
from horner.errors import CompileError, FileError

FLAGS = ("-std=c99", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")
"""What shared libraries are compiled with."""

ZIG = (sys.executable, "-m", "ziglang", "cc")
ZIG_CXX = (*ZIG[:-1], "c++")

SHOWN_LINES = 12
"""Lines of a compiler's message that an error repeats."""

_SUFFIX = {"Windows": ".dll", "Darwin": ".dylib"}.get(platform.system(), ".so")
_REMEDY = "install one with: pip install 'horner[mcu]'"


@dataclass(frozen=True)
class Compiler:
    """A C or C++ compiler.

    Parameters
    ----------
    command
        The words that start it, before any flag.
    version
        What it says of itself.
    """

    command: tuple[str, ...]
    version: str

    @property
    def zig(self) -> bool:
        """Whether it is zig, which names processors its own way."""
        return "ziglang" in self.command or Path(self.command[0]).stem == "zig"

    def run(self, arguments: Sequence[str], build: Path, cache: Path) -> None:
        """Compile.

        Parameters
        ----------
        arguments
            Flags and files.
        build, cache
            Where a compiler that keeps things keeps those of this run and those of use to every run.

        Raises
        ------
        CompileError
            With the first lines of the compiler's message.
        """
        done = _run((*self.command, *arguments), build, cache)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
            rest = [f"... and {len(lines) - SHOWN_LINES} lines more"] if len(lines) > SHOWN_LINES else []
            message = "\n".join([*lines[:SHOWN_LINES], *rest])
            raise CompileError(
                f"{shlex.join(self.command)} refused the code; name another compiler or {_REMEDY}\n{message}"
            )


def find_compiler(compiler: str | Sequence[str] | None = None, cache: Path | None = None) -> Compiler:
    """Return the compiler given, or else the first of zig (from ``ziglang``), ``$CC``, cc, gcc and clang.

    Raises
    ------
    CompileError
        When there is none, or when it does not start.
    """
    command = tuple(shlex.split(compiler) if isinstance(compiler, str) else compiler or _installed())
    return Compiler(command, _version(command, cache or working_cache()))


def cxx_command() -> tuple[str, ...]:
    """Return the command of a C++ compiler: ``$CXX``, or else the first that starts of c++, g++, clang++ and zig.

    Zig comes last: the C++ library that it links is one that it compiles first, which takes it minutes.

    Raises
    ------
    CompileError
        When there is none.
    """
    if named := os.environ.get("CXX"):
        return tuple(shlex.split(named))
    for name in ("c++", "g++", "clang++"):
        found = shutil.which(name)
        # a system without its developer's tools may have a name that only says so
        if found and not _run((found, "--version"), Path(), Path()).returncode:
            return (found,)
    if importlib.util.find_spec("ziglang") is not None:
        return ZIG_CXX
    raise CompileError(f"no C++ compiler found: none of $CXX, c++, g++, clang++, nor zig; {_REMEDY}")


def shared_library(
    files: Mapping[str, str],
    *,
    compiler: str | Sequence[str] | None = None,
    flags: Sequence[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Path:
    """Compile sources into a shared library, once: the same sources, compiler and flags find it again.

    Parameters
    ----------
    files
        Names and texts of the ``.c`` and ``.h`` files.
    compiler
        The command (a string is split as a shell does), or None for the one found by `find_compiler`.
    flags
        In place of `FLAGS`.
    cache
        The folder for libraries; Horner's cache when None.

    Raises
    ------
    CompileError
        When the compiler is missing or refuses.
    """
    return built(files, _SUFFIX, compiler=compiler, flags=FLAGS if flags is None else flags, cache=cache)


def built(
    files: Mapping[str, str],
    suffix: str,
    *,
    flags: Sequence[str],
    compiler: str | Sequence[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Path:
    """Compile and link sources into one file, once; `.c` and `.cc` files are compiled, `.ld` are linker scripts.

    Parameters
    ----------
    suffix
        Of what is built: ``.elf``.
    files, flags, compiler, cache
        As `shared_library` takes them.

    Raises
    ------
    CompileError
        When the compiler is missing or refuses.
    """
    folder = working_cache(cache)
    chosen = find_compiler(compiler, folder)
    # the machine's name, because compilers may use all that its processor has
    texts = [text for item in sorted(files.items()) for text in item]
    parts = [*chosen.command, chosen.version, *flags, platform.node(), *texts]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    result = folder / f"{key}{suffix}"
    if result.exists():
        return result
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as made:
            build = Path(made)
            for name, text in files.items():
                (build / name).write_text(text)
            sources = [str(build / name) for name in files if name.endswith((".c", ".cc"))]
            scripts = [f"-Wl,-T,{build / name}" for name in files if name.endswith(".ld")]
            chosen.run([*flags, *sources, *scripts, "-o", str(build / result.name)], build, folder)
            (build / result.name).replace(result)
    except OSError as error:
        raise FileError(f"cannot write to the cache {folder}: {error.strerror or error}") from error
    return result


def working_cache(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder for compiled code: the one given, Horner's cache, or one of this process where that fails.

    Raises
    ------
    FileError
        When a folder given, or named by HORNER_CACHE, cannot be written: whoever names one means it.
    """
    try:
        folder = Path(given) if given is not None else cache_folder() / "c"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder.resolve()
    except (OSError, FileError) as error:
        if given is not None or os.environ.get("HORNER_CACHE"):
            raise FileError(f"the cache {given or os.environ['HORNER_CACHE']} cannot be written: {error}") from error
        return _temporary()


def _installed() -> tuple[str, ...]:
    if importlib.util.find_spec("ziglang") is not None:
        return ZIG
    if named := os.environ.get("CC"):
        return tuple(shlex.split(named))
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return (found,)
    raise CompileError(f"no C compiler found: none of $CC, cc, gcc, clang, nor zig; {_REMEDY}")


@functools.cache
def _version(command: tuple[str, ...], cache: Path) -> str:
    done = _run((*command, "--version"), cache, cache)
    if done.returncode:
        raise CompileError(f"{shlex.join(command)} --version fails: {done.stderr.strip()[:500]}; {_REMEDY}")
    return done.stdout


def _run(command: Sequence[str], build: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    folders = {"ZIG_LOCAL_CACHE_DIR": str(build / "zig"), "ZIG_GLOBAL_CACHE_DIR": str(cache / "zig")}
    try:
        return subprocess.run(
            command,
            env={**folders, **os.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise CompileError(f"cannot start the compiler {command[0]}: {error.strerror or error}; {_REMEDY}") from error


@functools.cache
def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="horner-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
