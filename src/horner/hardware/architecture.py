"""Arrays of processing elements as data: sizes, widths, rates and energies, read from TOML."""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from pathlib import Path

import msgspec

from horner._files import read_bytes
from horner.errors import ArchitectureError

LARGEST_FILE = 1 << 16
KILOBYTE = 1024


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Scratchpad(_Table):
    """Words that one processing element holds of filters, of feature maps and of partial sums."""

    filter: int
    ifmap: int
    psum: int


class Buffer(_Table):
    """The global buffer, and the part of it that is set aside for filters, in units of 1,024 bytes."""

    kilobytes: float
    filter_kilobytes: float = 0.0


class Bandwidth(_Table):
    """Words per cycle that the global buffer and DRAM deliver or take."""

    buffer: float
    dram: float


class Energy(_Table):
    """Energy per access of one word, by where it lies, in units of a multiply-accumulate's."""

    mac: float = 1.0
    register_file: float = 1.0
    inter_pe: float = 2.0
    buffer: float = 6.0
    dram: float = 200.0


class Architecture(_Table):
    """An array of processing elements (PEs) with its memories.

    Parameters
    ----------
    rows, columns
        PEs.
    word_bits
        Width of an activation, a weight and a partial sum in every memory.
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
    ['eyeriss']
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

    >>> load("eyerise")
    Traceback (most recent call last):
    horner.errors.ArchitectureError: no architecture 'eyerise'; there are eyeriss, or give a file that ends in .toml
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
    least_of = {
        "rows": (arch.rows, 1),
        "columns": (arch.columns, 1),
        "word_bits": (arch.word_bits, 1),
        "scratchpad.filter": (arch.scratchpad.filter, 1),
        "scratchpad.ifmap": (arch.scratchpad.ifmap, 1),
        "scratchpad.psum": (arch.scratchpad.psum, 1),
    }
    for name, (value, least) in least_of.items():
        if value < least:
            raise ArchitectureError(f"{where}: {name} = {value}; it is at least {least}")
    positive = {"clock_mhz": arch.clock_mhz, "bandwidth.buffer": arch.bandwidth.buffer}
    positive |= {"bandwidth.dram": arch.bandwidth.dram, "buffer.kilobytes": arch.buffer.kilobytes}
    for name, value in positive.items():
        if not 0 < value < float("inf"):
            raise ArchitectureError(f"{where}: {name} = {value}; it is positive and finite")
    for name, value in msgspec.structs.asdict(arch.energy).items():
        if not 0 <= value < float("inf"):
            raise ArchitectureError(f"{where}: energy.{name} = {value}; it is not negative and finite")
    if not 0 <= arch.buffer.filter_kilobytes < arch.buffer.kilobytes:
        raise ArchitectureError(
            f"{where}: buffer.filter_kilobytes = {arch.buffer.filter_kilobytes}; it is part of the buffer's "
            f"{arch.buffer.kilobytes}"
        )
