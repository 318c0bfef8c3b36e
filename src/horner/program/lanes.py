"""Coding of long runs, in lanes that are worked on side by side: as near to the entropy, and seconds faster.

Range asymmetric numeral systems (Duda, 2013), one state for each lane, all lanes' words in one row. The chances stand
before the run and hold for all of it. Everything is done in integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from horner.errors import FileError
from horner.program.bitstream import BitReader, BitWriter

TABLE_BITS = 8
"""Of a number at most, its highest, are coded; the others stand plain behind the run."""

CHANCE_BITS = 15
WHOLE = 1 << CHANCE_BITS
"""Sum of the chances of a run."""

WORD_BITS, STATE_BITS = 16, 32
LEAST_STATE = 1 << WORD_BITS

CHANCE_ORDER, WORDS_ORDER = 8, 15
"""Of the exponential Golomb codes of a chance, and of how many words there are."""


@dataclass(frozen=True)
class Lanes:
    """A coded run, in the order in which it stands in a file.

    Parameters
    ----------
    chances
        Of every symbol, int64 ``(2**min(bits, TABLE_BITS),)``, in parts of `WHOLE`.
    states
        Of every lane, uint64 ``(lanes,)`` below 2**32, to begin decoding with.
    words
        What lanes take in when their state falls below `LEAST_STATE`, uint16 ``(words,)``.
    rest, rest_bits
        The lower bits of every number, which are not coded, int64 ``(count,)`` or empty, and how many those are.
    """

    chances: np.ndarray
    states: np.ndarray
    words: np.ndarray
    rest: np.ndarray
    rest_bits: int

    @property
    def bits(self) -> int:
        """What the run takes in a file."""
        table = BitWriter()
        _write_table(table, self.chances, len(self.words))
        widths = ((self.states, STATE_BITS), (self.words, WORD_BITS), (self.rest, self.rest_bits))
        return table.bits + sum(bits * numbers.size for numbers, bits in widths)

    def write(self, writer: BitWriter) -> None:
        """Write the run."""
        _write_table(writer, self.chances, len(self.words))
        writer.array(self.states, STATE_BITS)
        writer.array(self.words, WORD_BITS)
        writer.array(self.rest, self.rest_bits)


def count_of_lanes(count: int) -> int:
    """Return the number of lanes of a run: a power of two, at least an eighth of the root of its numbers.

    >>> [count_of_lanes(count) for count in (1, 65_537, 2_359_296)]
    [1, 64, 256]
    """
    lanes = 1
    while 64 * lanes * lanes < count:
        lanes *= 2
    return lanes


def encode(values: np.ndarray, bits: int, signed: bool) -> Lanes:
    """Code a run of at least one number of `bits` bits, in C order; `signed` as coefficients are, levels are not."""
    rest_bits = max(0, bits - TABLE_BITS)
    flat = values.reshape(-1).astype(np.int64) + (1 << bits - 1 if signed else 0)
    symbols = flat >> rest_bits
    chances = _chances(np.bincount(symbols, minlength=1 << bits - rest_bits))
    starts = np.cumsum(chances) - chances
    lanes = count_of_lanes(flat.size)
    states = np.full(lanes, LEAST_STATE, np.uint64)
    taken: list[np.ndarray] = []
    ceilings = chances.astype(np.uint64) << np.uint64(STATE_BITS - CHANCE_BITS)
    chances64, starts64 = chances.astype(np.uint64), starts.astype(np.uint64)
    for first in range((flat.size - 1) // lanes * lanes, -1, -lanes):  # decoding goes the other way
        row = symbols[first : first + lanes]
        x = states[: row.size]
        full = x >= ceilings[row]
        taken.append((x[full] & np.uint64(LEAST_STATE - 1)).astype(np.uint16))
        x[full] >>= np.uint64(WORD_BITS)
        whole, part = np.divmod(x, chances64[row])
        x[:] = (whole << np.uint64(CHANCE_BITS)) + part + starts64[row]
    rest = flat & (1 << rest_bits) - 1 if rest_bits else flat[:0]
    return Lanes(chances, states, np.concatenate(taken[::-1]), rest, rest_bits)


def decode(reader: BitReader, count: int, bits: int, signed: bool) -> np.ndarray:
    """Read a coded run of `count` numbers, int64 ``(count,)``.

    Raises
    ------
    FileError
        When it is cut off, or its chances are none.
    """
    rest_bits = max(0, bits - TABLE_BITS)
    chances = np.array([reader.golomb(CHANCE_ORDER, WHOLE) for _ in range(1 << bits - rest_bits)])
    if chances.sum() != WHOLE:
        raise FileError(f"the chances of a coded run sum to {chances.sum()}, not {WHOLE}")
    length = reader.golomb(WORDS_ORDER, count)
    lanes = count_of_lanes(count)
    states = reader.array(lanes, STATE_BITS).astype(np.uint64)
    words = reader.array(length, WORD_BITS).astype(np.uint64)
    symbol_of = np.repeat(np.arange(chances.size), chances)
    chance_of = chances.astype(np.uint64)[symbol_of]
    offset_of = np.arange(WHOLE, dtype=np.uint64) - (np.cumsum(chances) - chances).astype(np.uint64)[symbol_of]
    symbols = np.empty(count, np.int64)
    position = 0
    for first in range(0, count, lanes):
        x = states[: min(lanes, count - first)]
        slots = (x & np.uint64(WHOLE - 1)).astype(np.int64)
        symbols[first : first + x.size] = symbol_of[slots]
        x[:] = chance_of[slots] * (x >> np.uint64(CHANCE_BITS)) + offset_of[slots]
        low = np.flatnonzero(x < LEAST_STATE)
        if position + low.size > length:
            raise FileError(f"a coded run of {count} numbers wants more than its {length} words")
        x[low] = (x[low] << np.uint64(WORD_BITS)) | words[position : position + low.size]
        position += low.size
    if rest_bits:
        symbols = (symbols << rest_bits) + reader.array(count, rest_bits)
    return symbols - (1 << bits - 1 if signed else 0)


def _write_table(writer: BitWriter, chances: np.ndarray, words: int) -> None:
    for chance in chances.tolist():
        writer.golomb(chance, CHANCE_ORDER)
    writer.golomb(words, WORDS_ORDER)


def _chances(counts: np.ndarray) -> np.ndarray:
    """Share `WHOLE` out by counts, rounded down but at least 1 of what there is; the most frequent makes it whole."""
    chances = np.where(counts > 0, np.maximum(counts * WHOLE // counts.sum(), 1), 0)
    chances[counts.argmax()] += WHOLE - chances.sum()
    return chances
