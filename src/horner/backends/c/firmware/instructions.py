"""Where instructions begin, and where calls and jumps lead: Thumb-2 and RV32IMC, as far as call graphs need them.

Encodings: Armv7-M and Armv8-M Architecture Reference Manuals, A7.7.12 (B), A7.7.18 (BL), A7.7.19 (BLX);
The RISC-V Instruction Set Manual, volume I, chapters RV32I and "C".
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator

from horner.backends.c.firmware.elf import Image, Section

INDIRECT = -1
"""The target of a call through a register."""


def instructions(image: Image, section: Section, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield address and encoding of every instruction of a range; constants in between are passed over."""
    address = start
    while address < end:
        mark = bisect.bisect_right(image.data_in_code, (address, True)) - 1
        if mark >= 0 and image.data_in_code[mark][1]:
            address = image.data_in_code[mark + 1][0] if mark + 1 < len(image.data_in_code) else end
            continue
        at = address - section.address
        half = int.from_bytes(section.data[at : at + 2], "little")
        wide = half >> 11 >= 0b11101 if image.thumb else half & 3 == 3
        second = int.from_bytes(section.data[at + 2 : at + 4], "little")
        # a wide Thumb instruction is two halves, the first on top; a wide RISC-V one is a word
        yield address, (half << 16 | second if image.thumb else second << 16 | half) if wide else half
        address += 4 if wide else 2


def jumps(image: Image, section: Section, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Yield ``(address, target, whether it returns)`` of every call and jump.

    Targets of calls through registers are `INDIRECT`.

    Returns and jumps by tables stay within their function and are passed over.
    """
    find = _thumb if image.thumb else _riscv
    before = 0
    for address, code in instructions(image, section, start, end):
        target = find(address, code, before)
        if target is not None:
            yield address, target, _links(image.thumb, code)
        before = code


def _thumb(address: int, code: int, before: int) -> int | None:
    if code >> 16:
        first, second = code >> 16, code & 0xFFFF
        if first & 0xF800 != 0xF000 or not second & 0x8000 or (second & 0x5000 == 0 and first & 0x0380 == 0x0380):
            return None  # no branch, or a special instruction in the place of a conditional one
        sign, j1, j2 = first >> 10 & 1, second >> 13 & 1, second >> 11 & 1
        if second & 0x5000:  # B.W and BL
            top = (sign ^ j1 ^ 1) << 23 | (sign ^ j2 ^ 1) << 22 | (first & 0x3FF) << 12
            return address + 4 + _signed(sign << 24 | top | (second & 0x7FF) << 1, 25)
        low = j2 << 19 | j1 << 18 | (first & 0x3F) << 12 | (second & 0x7FF) << 1
        return address + 4 + _signed(sign << 20 | low, 21)
    if code & 0xF800 == 0xE000:  # B
        return address + 4 + _signed((code & 0x7FF) << 1, 12)
    if code & 0xF000 == 0xD000 and code & 0x0E00 != 0x0E00:  # B with a condition
        return address + 4 + _signed((code & 0xFF) << 1, 9)
    return INDIRECT if code & 0xFF80 == 0x4780 else None  # BLX


def _riscv(address: int, code: int, before: int) -> int | None:
    if code & 3 == 3:
        opcode, destination = code & 0x7F, code >> 7 & 31
        if opcode == 0b1101111:  # JAL
            bits = (code >> 31) << 20 | (code >> 12 & 0xFF) << 12 | (code >> 20 & 1) << 11 | (code >> 21 & 0x3FF) << 1
            return address + _signed(bits, 21)
        if opcode == 0b1100011:  # branches
            bits = (code >> 31) << 12 | (code >> 7 & 1) << 11 | (code >> 25 & 63) << 5 | (code >> 8 & 15) << 1
            return address + _signed(bits, 13)
        if opcode == 0b1100111:  # JALR, a far call when AUIPC stands before it
            if before & 0x7F == 0b0010111 and before >> 7 & 31 == code >> 15 & 31:
                return (address - 4 + (before & ~0xFFF) + _signed(code >> 20, 12)) & 0xFFFFFFFF
            return INDIRECT if destination else None
        return None
    kind = code & 0xE003
    if kind in (0xA001, 0x2001):  # C.J, C.JAL
        bits = (code >> 12 & 1) << 11 | (code >> 8 & 1) << 10 | (code >> 9 & 3) << 8 | (code >> 6 & 1) << 7
        bits |= (code >> 7 & 1) << 6 | (code >> 2 & 1) << 5 | (code >> 11 & 1) << 4 | (code >> 3 & 7) << 1
        return address + _signed(bits, 12)
    if kind in (0xC001, 0xE001):  # C.BEQZ, C.BNEZ
        bits = (code >> 12 & 1) << 8 | (code >> 5 & 3) << 6 | (code >> 2 & 1) << 5 | (code >> 10 & 3) << 3
        return address + _signed(bits | (code >> 3 & 3) << 1, 9)
    return INDIRECT if code & 0xF07F == 0x9002 and code >> 7 & 31 else None  # C.JALR


def _links(thumb: bool, code: int) -> bool:
    """Whether a jump leaves where it came from: a call."""
    if thumb:
        return code & 0xF800D000 == 0xF000D000 or code & 0xFFFFFF80 == 0x4780  # BL, BLX
    if code & 3 == 3:
        return code & 0x7F in (0b1101111, 0b1100111) and code >> 7 & 31 != 0  # JAL, JALR
    return code & 0xE003 == 0x2001 or code & 0xF003 == 0x9002  # C.JAL, C.JALR


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
