"""Bits in a row, most significant first: what the fields of a `.horner` file are written to and read from."""

from __future__ import annotations

from collections import Counter

import numpy as np

from horner.errors import FileError

CHUNK = 1 << 16
"""Numbers of an array turned into bits at a time, so that large files need little more memory than themselves."""

LONGEST_PREFIX = 32
"""Zeros an exponential Golomb code may begin with."""


VERSION = 4
"""Of the file format, as written. Older ones are still read: 3 codes a sign that is known, 2 also leaves long runs
plain, 1 also lists every shift."""


class BitWriter:
    """Collects fields of any width into bytes.

    Parameters
    ----------
    version
        Of the format that the fields are those of.
    source
        What a program was read from that is written again, so that no run in it need be coded anew.

    Attributes
    ----------
    part
        Name of what is being written; `tally` counts bits by it.

    Examples
    --------
    >>> writer = BitWriter()
    >>> writer.uint(5, 3); writer.golomb(4, 0); writer.sint(-1, 2)
    >>> writer.bits, writer.finish().hex()
    (10, 'a5c0')
    """

    def __init__(self, version: int = VERSION, source: BitReader | None = None) -> None:
        self.version = version
        self.source = source
        self.part = ""
        self.tally: Counter[str] = Counter()
        self._bytes = bytearray()
        self._pending = 0  # fewer than 8 bits, and how many
        self._count = 0

    @property
    def bits(self) -> int:
        """Bits written so far."""
        return 8 * len(self._bytes) + self._count

    def uint(self, value: int, bits: int) -> None:
        """Write an unsigned integer below ``2**bits``."""
        if not 0 <= value < 1 << bits:
            raise ValueError(f"{value} does not fit {bits} bits")
        self.tally[self.part] += bits
        self._pending = self._pending << bits | value
        self._count += bits
        whole, self._count = divmod(self._count, 8)
        if whole:
            self._bytes += (self._pending >> self._count).to_bytes(whole, "big")
            self._pending &= (1 << self._count) - 1

    def sint(self, value: int, bits: int) -> None:
        """Write a signed integer in two's complement."""
        if not -(1 << bits - 1) <= value < 1 << bits - 1:
            raise ValueError(f"{value} does not fit {bits} signed bits")
        self.uint(value & (1 << bits) - 1, bits)

    def flag(self, value: bool) -> None:
        """Write one bit."""
        self.uint(int(value), 1)

    def golomb(self, value: int, order: int) -> None:
        """Write an integer, 0 or larger, as the exponential Golomb code of an order: small values take few bits.

        ``value + 2**order`` in binary, after as many zeros as it has bits beyond ``order + 1``.
        """
        length = (value + (1 << order)).bit_length()
        self.uint(value + (1 << order), 2 * length - 1 - order)

    def float32(self, value: float) -> None:
        """Write the 32 bits of an IEEE single."""
        with np.errstate(over="ignore"):  # beyond the largest single lies infinity
            self.uint(int(np.float32(value).view(np.uint32)), 32)

    def array(self, values: np.ndarray, bits: int) -> None:
        """Write every element in C order, two's complement where negative."""
        flat = np.ascontiguousarray(values).reshape(-1)
        places = np.arange(bits - 1, -1, -1)
        for start in range(0, flat.size, CHUNK):
            digits = flat[start : start + CHUNK, None].astype(np.int64) >> places & 1
            before = [self._pending >> place & 1 for place in range(self._count - 1, -1, -1)]
            stream = np.concatenate([before, digits.reshape(-1)]).astype(np.uint8)
            whole = stream.size // 8 * 8
            self._bytes += np.packbits(stream[:whole]).tobytes()
            self._count = stream.size - whole
            self._pending = int("".join(map(str, stream[whole:])) or "0", 2)
        self.tally[self.part] += flat.size * bits

    def coded_there(self) -> np.ndarray | None:
        """Return the digits of the coded run that `source` has behind the next bit, if it has one."""
        start = self.bits + 1
        if self.source is None or start not in self.source.coded:
            return None
        return BitReader(self.source.data, start).array(self.source.coded[start], 1)

    def finish(self) -> bytes:
        """Fill the last byte with zeros and return everything."""
        self.uint(0, -self._count % 8)
        return bytes(self._bytes)


class BitReader:
    """Takes fields of any width from bytes; refuses to read past the end before allocating anything.

    Parameters
    ----------
    data
        Bytes of which the fields are read, from the first bit on.
    position
        Number of the bit to start from.

    Attributes
    ----------
    coded
        Bits of every coded run that was read, by the number of its first.

    Examples
    --------
    >>> reader = BitReader(bytes.fromhex("a5c0"))
    >>> reader.uint(3), reader.golomb(0, limit=9), reader.sint(2), reader.remaining
    (5, 4, -1, 6)
    """

    def __init__(self, data: bytes, position: int = 0, version: int = VERSION) -> None:
        self.data = data
        self.version = version
        self.position = position
        self.coded: dict[int, int] = {}

    @property
    def remaining(self) -> int:
        """Bits not yet read."""
        return 8 * len(self.data) - self.position

    @property
    def byte(self) -> int:
        """Number of the byte that the next bit is in."""
        return self.position // 8

    def expect(self, bits: int, what: str) -> None:
        """Raise FileError unless as many bits remain."""
        if bits > self.remaining:
            raise FileError(f"{what} takes {bits} bits where {self.remaining} remain")

    def uint(self, bits: int) -> int:
        """Read an unsigned integer."""
        self.expect(bits, "a field")
        end = self.position + bits
        covering = self.data[self.position // 8 : (end + 7) // 8]
        self.position = end
        return int.from_bytes(covering, "big") >> (-end % 8) & (1 << bits) - 1

    def sint(self, bits: int) -> int:
        """Read a signed integer in two's complement."""
        value = self.uint(bits)
        return value - (value >> bits - 1 << bits)

    def flag(self) -> bool:
        """Read one bit."""
        return bool(self.uint(1))

    def golomb(self, order: int, limit: int) -> int:
        """Read an exponential Golomb code; refuse a value above the limit."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > LONGEST_PREFIX:
                raise FileError(f"a number begins with more than {LONGEST_PREFIX} zeros")
        self.position -= 1
        value = self.uint(zeros + order + 1) - (1 << order)
        if value > limit:
            raise FileError(f"a number {value} where at most {limit} is possible")
        return value

    def float32(self) -> float:
        """Read an IEEE single."""
        return float(np.uint32(self.uint(32)).view(np.float32))

    def array(self, count: int, bits: int, signed: bool = False) -> np.ndarray:
        """Read `count` integers, int64 ``(count,)``."""
        self.expect(count * bits, f"{count} numbers of {bits} bits")
        values = np.empty(count, np.int64)
        places = np.arange(bits - 1, -1, -1)
        for start in range(0, count, CHUNK):
            part = values[start : start + CHUNK]
            end = self.position + part.size * bits
            first = self.position // 8
            stream = np.unpackbits(np.frombuffer(self.data[first : (end + 7) // 8], np.uint8))
            digits = stream[self.position - 8 * first : end - 8 * first].reshape(part.size, bits)
            part[:] = digits @ (1 << places)
            self.position = end
        if signed:
            values -= values >> bits - 1 << bits
        return values
