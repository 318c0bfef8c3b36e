"""Adaptive arithmetic coding of coefficients and levels, in fewer bits than they are wide.

The coder is that of Witten, Neal and Cleary (Communications of the ACM 30, 1987) for two symbols. Everything is done
in integers, so every reader decodes the same values; where a coded run ends follows from decoding it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from horner.errors import FileError
from horner.program.bitstream import VERSION, BitReader

PRECISION = 32
WHOLE, HALF, QUARTER = 1 << PRECISION, 1 << PRECISION - 1, 1 << PRECISION - 2

READ_AHEAD = 512
"""Bytes unpacked at a time."""

MOST_SEEN = 1024
"""Beyond this sum, half of a chance's counts are forgotten."""

MOST_SAVED = 8
"""A coded run takes at least an eighth of its numbers' plain bits, so that a short file cannot hold a long run."""

FEWEST, MOST = 8, 1 << 16
"""Numbers a run coded this way has: fewer never pay, more would take seconds (:mod:`horner.program.lanes` has them)."""


class Chance:
    """How likely a bit is 0, learned from the bits seen: each counts two, beside one of each kind to begin with."""

    __slots__ = ("learns", "ones", "zeros")

    def __init__(self, learns: bool = True) -> None:
        self.zeros = self.ones = 1
        self.learns = learns

    def see(self, bit: bool) -> None:
        """Count a bit, of a chance that learns."""
        if bit:
            self.ones += 2
        else:
            self.zeros += 2
        if self.zeros + self.ones > MOST_SEEN:
            self.zeros = (self.zeros + 1) // 2
            self.ones = (self.ones + 1) // 2


EVEN = Chance(learns=False)


class Coder(Protocol):
    """What models are written against: one description of the bits serves both directions."""

    def bit(self, chance: Chance, wanted: bool) -> bool:
        """Code the wanted bit, or return the one that was coded."""


class Encoder:
    """Narrows an interval by every bit, and keeps the binary digits that all its numbers have in common."""

    def __init__(self) -> None:
        self.digits: list[int] = []
        self._low, self._high = 0, WHOLE - 1
        self._undecided = 0

    def bit(self, chance: Chance, wanted: bool) -> bool:
        """Code the wanted bit and return it."""
        low, high = self._low, self._high
        split = low + (high - low + 1) * chance.zeros // (chance.zeros + chance.ones)
        low, high = (split, high) if wanted else (low, split - 1)
        if chance.learns:
            chance.see(wanted)
        while True:
            if high < HALF:
                base = 0
                self._put(0)
            elif low >= HALF:
                base = HALF
                self._put(1)
            elif low >= QUARTER and high < HALF + QUARTER:
                base = QUARTER
                self._undecided += 1
            else:
                break
            low, high = 2 * (low - base), 2 * (high - base) + 1
        self._low, self._high = low, high
        return wanted

    def finish(self) -> np.ndarray:
        """Return the digits, two more than needed so far: any that follow now stand for a number of the interval."""
        self._undecided += 1
        self._put(int(self._low >= QUARTER))
        return np.array(self.digits, np.uint8)

    def _put(self, digit: int) -> None:
        self.digits.append(digit)
        if self._undecided:
            self.digits += [1 - digit] * self._undecided
            self._undecided = 0


class Decoder:
    """Follows an `Encoder` from a reader's position on; beyond the end it reads zeros."""

    def __init__(self, reader: BitReader) -> None:
        self._reader = reader
        self._start = reader.position
        self._digits = itertools.chain(_digits(reader.data, self._start), itertools.repeat(0))
        self._low, self._high = 0, WHOLE - 1
        self._code, self._taken = 0, PRECISION
        for digit in itertools.islice(self._digits, PRECISION):
            self._code = 2 * self._code + digit

    def bit(self, chance: Chance, wanted: bool) -> bool:
        """Return the bit that was coded."""
        low, high, code = self._low, self._high, self._code
        split = low + (high - low + 1) * chance.zeros // (chance.zeros + chance.ones)
        bit = code >= split
        low, high = (split, high) if bit else (low, split - 1)
        if chance.learns:
            chance.see(bit)
        while True:
            if high < HALF:
                base = 0
            elif low >= HALF:
                base = HALF
            elif low >= QUARTER and high < HALF + QUARTER:
                base = QUARTER
            else:
                break
            low, high = 2 * (low - base), 2 * (high - base) + 1
            code = 2 * (code - base) + next(self._digits)
            self._taken += 1
        self._low, self._high, self._code = low, high, code
        return bit

    def finish(self) -> int:
        """Move the reader behind the run, which ends with two of the digits read ahead; return the run's bits.

        Raises
        ------
        FileError
            When the run is cut off, or those two are not as `Encoder.finish` chooses them.
        """
        bits = self._taken - PRECISION + 2
        self._reader.expect(bits, "a coded run")
        if self._code // QUARTER != (2 if self._low >= QUARTER else 1):
            raise FileError("a coded run ends with other digits than Horner's")
        self._reader.position = self._start + bits
        return bits


def _digits(data: bytes, start: int) -> Iterator[int]:
    """Give the bits from a place on, `READ_AHEAD` bytes of them unpacked at a time."""
    for at in range(start >> 3, len(data), READ_AHEAD):
        bits = np.unpackbits(np.frombuffer(data, np.uint8, min(READ_AHEAD, len(data) - at), at)).tolist()
        yield from bits if at != start >> 3 else bits[start & 7 :]


class Signed:
    """Coefficients: how long the magnitude is in binary, sign, and its digits after the first.

    None but the lowest number is as long as numbers are wide: its length says all (a sign followed before version 4).
    """

    def __init__(self, bits: int, version: int = VERSION) -> None:
        self._lowest_has_sign = version < 4
        self._longer = [Chance() for _ in range(bits)]
        self._second = [Chance() for _ in range(bits + 1)]

    def code(self, coder: Coder, value: int) -> int:
        """Code a value, or return the one that was coded."""
        magnitude, length = abs(value), 0
        while length < len(self._longer) and coder.bit(self._longer[length], magnitude >> length > 0):
            length += 1
        if length == 0:
            return 0
        if length == len(self._longer) and not self._lowest_has_sign:
            return -(1 << length - 1)
        negative, result = coder.bit(EVEN, value < 0), 1
        for place in range(length - 2, -1, -1):
            chance = self._second[length] if place == length - 2 else EVEN
            result = 2 * result + coder.bit(chance, bool(magnitude >> place & 1))
        return -result if negative else result


class Unsigned:
    """Levels: digit after digit, each with a chance of its own for all the digits before it; alike in all versions."""

    def __init__(self, bits: int, version: int = VERSION) -> None:
        self._bits = bits
        self._chances = [Chance() for _ in range(1 << bits)]

    def code(self, coder: Coder, value: int) -> int:
        """Code a value, or return the one that was coded."""
        node = 1
        for place in range(self._bits - 1, -1, -1):
            node = 2 * node + coder.bit(self._chances[node], bool(value >> place & 1))
        return node - (1 << self._bits)


Model = type[Signed] | type[Unsigned]


def encode(values: np.ndarray, bits: int, model: Model, version: int = VERSION) -> np.ndarray | None:
    """Return the digits of a coded run, or None where it may not be coded or plain bits are as few."""
    if not FEWEST <= values.size <= MOST:
        return None
    encoder, chances = Encoder(), model(bits, version)
    for value in values.reshape(-1).tolist():
        chances.code(encoder, value)
    digits = encoder.finish()
    return digits if digits.size < values.size * bits <= MOST_SAVED * digits.size else None


def decode(reader: BitReader, count: int, bits: int, model: Model) -> np.ndarray:
    """Read a coded run of `count` numbers, int64 ``(count,)``, which is as `encode` gives it."""
    reader.expect(-(-count * bits // MOST_SAVED), f"a coded run of {count} numbers of {bits} bits")
    start, decoder, chances = reader.position, Decoder(reader), model(bits, reader.version)
    values = np.array([chances.code(decoder, 0) for _ in range(count)], np.int64)
    taken = decoder.finish()
    if count * bits > MOST_SAVED * taken:
        raise FileError(f"{count} numbers of {bits} bits are coded in less than 1/{MOST_SAVED} of their bits")
    if taken >= count * bits:
        raise FileError(f"{count} numbers of {bits} bits are coded in {taken}; plain bits are as few")
    reader.coded[start] = taken
    return values
