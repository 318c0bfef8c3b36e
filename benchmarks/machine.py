"""The machine that timings were taken on: described, and its peaks measured on one core."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from horner.backends.c.compiler import find_compiler, shared_library

FLAGS = ("-O3", "-march=native", "-fPIC", "-shared")
INTERESTING = (
    "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8",
    "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip
PACKAGES = (
    "horner", "numpy", "torch", "onnxruntime", "openvino", "nncf", "ai-edge-litert", "litert-torch",
    "ai-edge-quantizer", "ziglang",
)  # fmt: skip
TRIALS = 30
SECONDS = 0.005
"""Of one trial at least."""

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True)
class Cache:
    """A level of memory that data is read from: its size in bytes (None for DRAM) and measured GB/s."""

    name: str
    size: int | None
    bandwidth: float


@dataclass(frozen=True)
class Peaks:
    """The most that one core was measured to do.

    Parameters
    ----------
    macs
        10^9 multiply-accumulates per second by kind: ``float32`` (fused), ``int16`` (pairs into int32) and ``int8``
        (groups of four into int32); a kind for which there is no instruction is missing.
    memory
        From near to far.
    """

    macs: dict[str, float]
    memory: tuple[Cache, ...]

    def best(self, other: Peaks) -> Peaks:
        """Return the higher of each peak: what slows a measurement down is never the machine's own."""
        macs = {kind: max(rate, other.macs[kind]) for kind, rate in self.macs.items()}
        levels = zip(self.memory, other.memory, strict=True)
        return Peaks(macs, tuple(max(pair, key=lambda level: level.bandwidth) for pair in levels))


@dataclass(frozen=True)
class Machine:
    """A machine, in words and numbers."""

    processor: str
    cores: int
    flags: tuple[str, ...]
    caches: dict[str, str]
    system: str
    python: str
    compiler: str
    packages: dict[str, str]
    peaks: Peaks


def name() -> str:
    """Return the processor's name."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def describe(peaks: Peaks) -> Machine:
    """Describe this machine, whose peaks were measured."""
    found = _cpuinfo()
    return Machine(
        processor=name(),
        cores=os.cpu_count() or 1,
        flags=tuple(f for f in INTERESTING if f in (found.get("flags") or found.get("Features") or "").split()),
        caches={name: _human(size) for name, size in cache_sizes().items()},
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        compiler=find_compiler().version.splitlines()[0],
        packages={name: version for name in PACKAGES if (version := _version(name))},
        peaks=peaks,
    )


def peaks() -> Peaks:
    """Measure this core: the best of some short trials of each kernel."""
    library = ctypes.CDLL(
        str(shared_library({"peaks.c": Path(__file__).with_name("peaks.c").read_text()}, flags=FLAGS))
    )
    macs = {}
    for kind in ("float32", "int16", "int8"):
        kernel = getattr(library, f"peak_{kind}")
        kernel.restype, kernel.argtypes = ctypes.c_double, [ctypes.c_uint64]
        if kernel(1):
            macs[kind] = _best(kernel) / 1e9
    read = library.read_all
    read.restype, read.argtypes = ctypes.c_double, [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
    sizes = cache_sizes()
    memory = []
    for name, size in {**sizes, "DRAM": None}.items():
        # half of a cache surely stays in it; DRAM is what is several times the last one
        buffer = np.ones((size // 2 if size else 4 * max([*sizes.values(), 32 * MIB])) // 512 * 512, np.uint8)
        memory.append(Cache(name, size, _best(functools.partial(read, buffer.ctypes.data, buffer.size)) / 1e9))
    return Peaks(macs, tuple(memory))


def cache_sizes() -> dict[str, int]:
    """Return the bytes of each level of data cache as one core sees it, near to far; empty where nobody says."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / part).read_text().strip() for part in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = int(size.removesuffix("K")) * KIB
    return found


def _best(kernel: Callable[[int], float]) -> float:
    """Return the most work per second, of some trials long enough to measure."""
    rounds, began = 1, time.perf_counter()
    kernel(rounds)
    while (taken := time.perf_counter() - began) < SECONDS:
        rounds = max(2 * rounds, int(rounds * SECONDS / max(taken, 1e-9)))
        began = time.perf_counter()
        kernel(rounds)
    best = 0.0
    for _ in range(TRIALS):
        began = time.perf_counter()
        work = kernel(rounds)
        best = max(best, work / (time.perf_counter() - began))
    return best


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    pairs = re.findall(r"^([^\t:]+?)\s*:\s*(.*)$", path.read_text().split("\n\n")[0], re.MULTILINE)
    return dict(pairs)


def _human(size: int) -> str:
    return f"{size // MIB} MiB" if size % MIB == 0 else f"{size // KIB} KiB"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
