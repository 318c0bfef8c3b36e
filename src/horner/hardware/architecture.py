"""Arrays of processing elements as data: sizes, widths, rates and energies, read from TOML."""

from __future__ import annotations

import math
import os
import tomllib
from importlib import resources
from pathlib import Path

import msgspec

from horner._files import read_bytes
from horner.errors import ArchitectureError

LARGEST_FILE = 1 << 16
KILOBYTE = 1024


class Scratchpad(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Words that one processing element holds of filters, of feature maps and of partial sums."""

    filter: int
    ifmap: int
    psum: int


class Buffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The global buffer, and the part of it that is set aside for filters, in units of 1,024 bytes."""

    kilobytes: float
    filter_kilobytes: float = 0.0


class Bandwidth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Words per cycle that the global buffer and DRAM deliver or take."""

    buffer: float
    dram: float


class Energy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Energy per access of one word, by where it lies, in units of a multiply-accumulate's.

    An addition outside of the PEs counts as a whole multiply-accumulate unless a file says better: that favours the
    array which has none.
    """

    mac: float = 1.0
    add: float = 1.0
    register_file: float = 1.0
    inter_pe: float = 2.0
    buffer: float = 6.0
    dram: float = 200.0


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An array of processing elements (PEs) with its memories.

    Parameters
    ----------
    rows, columns
        PEs.
    word_bits
        Width of an activation, a weight and a partial sum in every memory.
    reuses
        Whether gather units stand between the buffer and the PEs, and a spread unit behind the partial sums.
    clock_mhz
        Cycles per microsecond.

    Examples
    --------
    >>> eyeriss = load("eyeriss")
    >>> eyeriss.pes, eyeriss.buffer_words
    (168, 51200)
    """

    rows: int
    columns: int
    clock_mhz: float
    scratchpad: Scratchpad
    buffer: Buffer
    bandwidth: Bandwidth
    energy: Energy = Energy()
    word_bits: int = 16
    reuses: bool = False

    @property
    def pes(self) -> int:
        """Processing elements."""
        return self.rows * self.columns

    @property
    def word_bytes(self) -> float:
        """Bytes of a word."""
        return self.word_bits / 8

    @property
    def buffer_words(self) -> int:
        """Words of the global buffer that feature maps and partial sums share."""
        return int((self.buffer.kilobytes - self.buffer.filter_kilobytes) * KILOBYTE / self.word_bytes)


def names() -> list[str]:
    """Return the names of the architectures that come along.

    >>> names()
    ['eyeriss', 'reuse']
    """
    folder = resources.files(__package__) / "arch"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(source: str | os.PathLike[str]) -> Architecture:
    """Return an architecture that comes along, by name, or that of a TOML file.

    Raises
    ------
    ArchitectureError
        When there is no such name, or the file makes no sense; the message names the field.
    FileError
        When the file cannot be read.

    >>> load("tpu")
    Traceback (most recent call last):
    horner.errors.ArchitectureError: no architecture 'tpu'; there are eyeriss, reuse, or give a file that ends in .toml
    """
    text = os.fspath(source)
    if text in names():
        content = (resources.files(__package__) / "arch" / f"{text}.toml").read_bytes()
    elif text.endswith(".toml"):
        content = read_bytes(Path(text), LARGEST_FILE)
    else:
        raise ArchitectureError(
            f"no architecture {text!r}; there are {', '.join(names())}, or give a file that ends in .toml"
        )
    return parse(content, text)


def parse(content: bytes, where: str) -> Architecture:
    """Read an architecture from TOML; `where` is what messages call it."""
    try:
        arch = msgspec.convert(tomllib.loads(content.decode()), Architecture)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ArchitectureError(f"{where} is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ArchitectureError(f"{where}: {error}") from error
    _check(arch, where)
    return arch


def _check(arch: Architecture, where: str) -> None:
    pad, rates = arch.scratchpad, arch.bandwidth
    counts = {"rows": arch.rows, "columns": arch.columns, "word_bits": arch.word_bits}
    counts |= {f"scratchpad.{name}": getattr(pad, name) for name in ("filter", "ifmap", "psum")}
    for name, count in counts.items():
        if count < 1:
            raise ArchitectureError(f"{where}: {name} = {count}; it is at least 1")
    sizes = {"clock_mhz": arch.clock_mhz, "buffer.kilobytes": arch.buffer.kilobytes}
    sizes |= {"bandwidth.buffer": rates.buffer, "bandwidth.dram": rates.dram}
    for name, size in sizes.items():
        if not 0 < size < math.inf:
            raise ArchitectureError(f"{where}: {name} = {size}; it is positive and finite")
    for name, price in msgspec.structs.asdict(arch.energy).items():
        if not 0 <= price < math.inf:
            raise ArchitectureError(f"{where}: energy.{name} = {price}; it is finite and not negative")
    if not 0 <= arch.buffer.filter_kilobytes < arch.buffer.kilobytes:
        raise ArchitectureError(
            f"{where}: buffer.filter_kilobytes = {arch.buffer.filter_kilobytes}; it is less than the buffer's "
            f"kilobytes, {arch.buffer.kilobytes}, which it is part of"
        )
