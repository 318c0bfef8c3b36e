"""What an image's ELF file says: sections, symbols, frames on the stack, and what was inlined where."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horner.backends.c.firmware.extras import need

_ALLOCATED = 2  # SHF_ALLOC
_STACK_POINTERS = {"EM_ARM": 13, "EM_RISCV": 2}


@dataclass(frozen=True)
class Section:
    """A part of the image; `data` is empty where memory is only reserved, `source` is where it is flashed to."""

    name: str
    address: int
    source: int
    size: int
    data: bytes


@dataclass(frozen=True)
class Symbol:
    """A function, an object, or a range of code inlined from a function of that name."""

    name: str
    address: int
    size: int

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.address + self.size


@dataclass(frozen=True)
class Frame:
    """What a function has put on the stack: from each of `starts` on, as many bytes as `depths` says.

    None where the stack grows by an amount that only running tells.
    """

    starts: tuple[int, ...]
    depths: tuple[int | None, ...]

    def at(self, address: int) -> int | None:
        """Return the bytes on the stack before the instruction at an address."""
        return self.depths[max(0, bisect.bisect_right(self.starts, address) - 1)]


@dataclass(frozen=True)
class Image:
    """What is known of an image.

    Parameters
    ----------
    thumb
        Whether its instructions are Arm's; else they are RISC-V's.
    sections
        All that have a place in memory, by name.
    functions, objects
        By address; one of each address.
    addresses
        Of every symbol.
    data_in_code
        ``(address, whether data begins)``, by address: Arm's code holds constants.
    frames
        By the function's address.
    inlined
        Ranges of code of the network's own source by the function they were written in, callers before callees.
    """

    thumb: bool
    sections: dict[str, Section]
    functions: tuple[Symbol, ...]
    objects: tuple[Symbol, ...]
    addresses: dict[str, int]
    data_in_code: tuple[tuple[int, bool], ...]
    frames: dict[int, Frame]
    inlined: tuple[Symbol, ...]

    def size(self, *sections: str) -> int:
        """Return the bytes of some sections, those that are not there included."""
        return sum(self.sections[name].size for name in sections if name in self.sections)


def read(path: Path, source: str) -> Image:
    """Read an image.

    Parameters
    ----------
    path
        The ELF file.
    source
        Name of the network's C file.

    Raises
    ------
    MissingToolError
        When pyelftools is not installed.
    """
    elffile = need("elftools.elf.elffile", "reading an image")
    with path.open("rb") as file:
        elf = elffile.ELFFile(file)
        thumb = elf["e_machine"] == "EM_ARM"
        mark = ~1 if thumb else ~0  # the lowest bit says Thumb
        symbols = [s for s in elf.get_section_by_name(".symtab").iter_symbols() if s.name]
        dwarf = elf.get_dwarf_info()
        return Image(
            thumb,
            dict(_sections(elf)),
            _of_kind(symbols, "STT_FUNC", mark),
            _of_kind(symbols, "STT_OBJECT", ~0),
            {s.name: s["st_value"] & (mark if s["st_info"]["type"] == "STT_FUNC" else ~0) for s in symbols},
            tuple(sorted((s["st_value"], s.name[1] == "d") for s in symbols if s.name[:2] in ("$t", "$d", "$x"))),
            dict(_frames(dwarf, _STACK_POINTERS[elf["e_machine"]])),
            tuple(_inlined(dwarf, source)),
        )


def _sections(elf: Any) -> Iterator[tuple[str, Section]]:
    segments = list(elf.iter_segments("PT_LOAD"))
    for section in elf.iter_sections():
        if not section["sh_flags"] & _ALLOCATED or not section["sh_size"]:
            continue
        address = section["sh_addr"]
        moved = next(
            (s["p_paddr"] - s["p_vaddr"] for s in segments if s["p_vaddr"] <= address < s["p_vaddr"] + s["p_memsz"]), 0
        )
        data = b"" if section["sh_type"] == "SHT_NOBITS" else section.data()
        yield section.name, Section(section.name, address, address + moved, section["sh_size"], data)


def _of_kind(symbols: Iterable[Any], kind: str, mark: int) -> tuple[Symbol, ...]:
    found: dict[int, Symbol] = {}
    for symbol in symbols:
        if symbol["st_info"]["type"] == kind and symbol["st_size"]:
            address = symbol["st_value"] & mark
            if address not in found or len(symbol.name) < len(found[address].name):  # of aliases, the short one
                found[address] = Symbol(symbol.name, address, symbol["st_size"])
    return tuple(found[address] for address in sorted(found))


def _frames(dwarf: Any, stack_pointer: int) -> Iterator[tuple[int, Frame]]:
    entries = [
        *(dwarf.CFI_entries() if dwarf.has_CFI() else ()),
        *(dwarf.EH_CFI_entries() if dwarf.has_EH_CFI() else ()),
    ]
    for entry in entries:
        if not hasattr(entry, "cie") or entry.cie is None or not entry["initial_location"]:
            continue  # what describes no function, or one that was not linked
        rows = entry.get_decoded().table
        depths = [r["cfa"].offset if r["cfa"].reg == stack_pointer and not r["cfa"].expr else None for r in rows]
        yield entry["initial_location"], Frame(tuple(r["pc"] for r in rows), tuple(depths))


def _inlined(dwarf: Any, source: str) -> Iterator[Symbol]:
    for unit in dwarf.iter_CUs():
        top = unit.get_top_DIE()
        if Path(top.attributes["DW_AT_name"].value.decode()).name == source:
            for child in top.iter_children():
                if child.tag == "DW_TAG_subprogram":
                    yield from _inside(dwarf, child)


def _inside(dwarf: Any, parent: Any) -> Iterator[Symbol]:
    for child in parent.iter_children():
        if child.tag == "DW_TAG_inlined_subroutine":
            origin = child.get_DIE_from_attribute("DW_AT_abstract_origin")
            name = origin.attributes["DW_AT_name"].value.decode()
            yield from (Symbol(name, low, high - low) for low, high in _ranges(dwarf, child))
        if child.tag in ("DW_TAG_inlined_subroutine", "DW_TAG_lexical_block"):
            yield from _inside(dwarf, child)


def _ranges(dwarf: Any, die: Any) -> Iterator[tuple[int, int]]:
    if "DW_AT_ranges" in die.attributes:
        base = die.cu.get_top_DIE().attributes["DW_AT_low_pc"].value
        for entry in dwarf.range_lists().get_range_list_at_offset(die.attributes["DW_AT_ranges"].value, cu=die.cu):
            if hasattr(entry, "base_address"):
                base = entry.base_address
            else:
                yield base + entry.begin_offset, base + entry.end_offset
    elif "DW_AT_low_pc" in die.attributes:
        low, high = die.attributes["DW_AT_low_pc"].value, die.attributes["DW_AT_high_pc"]
        yield low, high.value if high.form == "DW_FORM_addr" else low + high.value
