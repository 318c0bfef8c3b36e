"""The `.horner` file: a whole program in about as many bytes as its coefficients take.

Everything is one stream of bits behind a magic number and a version, and before a checksum; docs/file-format.md
specifies it. A program has exactly one file, and a reader takes no other: what loads saves to the same bytes.
"""

from __future__ import annotations

import os
import zlib

from horner._files import read_bytes, write_atomic
from horner.errors import FileError, HornerError
from horner.program.bitstream import VERSION, BitReader, BitWriter
from horner.program.bounds import check_layer
from horner.program.codecs import Scope, read_layer, write_layer
from horner.program.layers import Layer, Value
from horner.program.program import LARGEST_ACTIVATION, MOST_LAYERS, Head, Input, Program, infer

MAGIC = b"HRN"
VERSIONS = range(1, VERSION + 1)
"""Those that are read."""

LARGEST_FILE = 1 << 30
"""Bytes a file may have."""

HEADS: tuple[Head, ...] = ("logits", "softmax", "log_softmax")
CHECKSUM_BYTES = 4


def save(program: Program, path: str | os.PathLike[str]) -> int:
    """Write a program to a file and return the file's size in bytes.

    Raises
    ------
    FileError
        When the file cannot be written; a former file of that name is then untouched.
    """
    data = dumps(program)
    write_atomic(path, data)
    return len(data)


def load(path: str | os.PathLike[str]) -> Program:
    """Read a program from a file.

    Raises
    ------
    FileError
        When there is no such file, it is no `.horner` file, damaged, of another version or malformed.
    """
    return _parse(read_bytes(path, LARGEST_FILE), str(path))


def dumps(program: Program) -> bytes:
    """Return the bytes of a program's file.

    Examples
    --------
    >>> from horner.program.layers import MaxPool
    >>> program = Program(Input((1, 4, 4)), (MaxPool(0, (2, 2), (2, 2)),))
    >>> data = dumps(program)
    >>> data[:3], len(data)
    (b'HRN', 14)
    """
    return _write(program)[0]


def loads(data: bytes) -> Program:
    """Return the program that the bytes of a file hold; raise FileError where they hold none."""
    return _parse(data, "the data")


def version_of(data: bytes) -> int:
    """Return the version of the format that the bytes of a file are in; the present one where they say none."""
    found = data[len(MAGIC)] if data.startswith(MAGIC) and len(data) > len(MAGIC) else VERSION
    return found if found in VERSIONS else VERSION


def breakdown(program: Program | bytes, version: int = VERSION) -> list[tuple[str, float]]:
    """Say how the bytes of a program's file divide.

    Parameters
    ----------
    program
        The program, or the content of its file, which is then divided as it is.
    version
        Of the format, for a program.

    Returns
    -------
    list of (str, float)
        Name and bytes of every part in the order of the file: `header`; for every layer `conv1 graph`,
        `conv1 shifts`, `conv1 coefficients`, `conv1 levels`, `conv1 bias`, `conv1 multipliers`, as far as it has
        them; `padding` and `checksum`. Eighths of a byte; their sum is exactly the size of the file.
    """
    if isinstance(program, bytes):
        version = version_of(program)
        program = loads(program)
    tally = _write(program, version)[1].tally
    return [(part, bits / 8) for part, bits in tally.items() if bits]


def _write(program: Program, version: int = VERSION, source: BitReader | None = None) -> tuple[bytes, BitWriter]:
    writer = BitWriter(version, source)
    writer.part = "header"
    for byte in (*MAGIC, version):
        writer.uint(byte, 8)
    _write_header(writer, program)
    for number, (name, layer) in enumerate(zip(program.names, program.layers, strict=True)):
        write_layer(writer, name, layer, Scope(program.values[: number + 1], program.integer))
    writer.part = "padding"
    data = writer.finish()
    writer.tally["checksum"] += 8 * CHECKSUM_BYTES
    return data + _checksum(data), writer


def _parse(data: bytes, name: str) -> Program:
    if not data.startswith(MAGIC):
        raise FileError(f"{name} is not a .horner file: {_guess(data)}")
    if len(data) > 3 and data[3] not in VERSIONS:
        raise FileError(f"{name} is of version {data[3]} of the format; this Horner reads versions 1 to {VERSION}")
    if len(data) < len(MAGIC) + 1 + CHECKSUM_BYTES:
        raise FileError(f"{name} is cut off after {len(data)} bytes")
    content, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if checksum != _checksum(content):
        raise FileError(f"{name} is damaged or cut off: its checksum is not that of its {len(content)} bytes")
    try:
        reader = BitReader(content, 8 * (len(MAGIC) + 1), data[3])
        program = _read(reader)
        _expect_canonical(data, _write(program, data[3], reader)[0])
    except HornerError as error:
        raise FileError(f"{name} is malformed: {error}") from None
    return program


def _read(reader: BitReader) -> Program:
    try:
        source, output_scale, head, count = _read_header(reader)
    except HornerError as error:
        raise FileError(f"header: {error}") from None
    integer = source.arithmetic == "int8"
    layers: list[Layer] = []
    starts: list[int] = []
    values = [Value(source.shape, source.zero_point if integer else 0)]
    for number in range(count):
        starts.append(reader.byte)
        try:
            layers.append(read_layer(reader, Scope(values, integer)))
            values.append(infer(layers[-1], values))
        except HornerError as error:
            raise FileError(f"layer {number}, from byte {starts[-1]}: {error}") from None
    if reader.remaining >= 8:
        raise FileError(f"{reader.remaining // 8} bytes follow the last layer, which ends in byte {reader.byte}")
    try:
        return Program(source, tuple(layers), output_scale, head)
    except HornerError as error:
        for number, layer in enumerate(layers):
            try:
                check_layer(layer, [values[i] for i in layer.inputs], integer)
            except HornerError as cause:
                raise FileError(f"layer {number}, from byte {starts[number]}: {cause}") from None
        raise FileError(str(error)) from None


def _write_header(writer: BitWriter, program: Program) -> None:
    source = program.input
    writer.flag(not program.integer)
    writer.uint(HEADS.index(program.head), 2)
    writer.flag(source.pixels)
    writer.sint(source.zero_point, 8)
    for scale in (source.scale, program.output_scale):
        writer.flag(scale != 1.0)
        if scale != 1.0:
            writer.float32(scale)
    channels, rows, columns = source.shape
    writer.golomb(channels - 1, 1)
    writer.golomb(rows - 1, 5)
    writer.flag(columns != rows)
    if columns != rows:
        writer.golomb(columns - 1, 5)
    writer.golomb(len(program.layers) - 1, 3)


def _read_header(reader: BitReader) -> tuple[Input, float, Head, int]:
    integer = not reader.flag()
    head = reader.uint(2)
    if head >= len(HEADS):
        raise FileError(f"head {head} is unknown")
    pixels, zero_point = reader.flag(), reader.sint(8)
    scale, output_scale = (reader.float32() if reader.flag() else 1.0 for _ in range(2))
    channels, rows = 1 + reader.golomb(1, LARGEST_ACTIVATION), 1 + reader.golomb(5, LARGEST_ACTIVATION)
    columns = 1 + reader.golomb(5, LARGEST_ACTIVATION) if reader.flag() else rows
    count = 1 + reader.golomb(3, MOST_LAYERS - 1)
    source = Input((channels, rows, columns), scale, zero_point, pixels, "int8" if integer else "float32")
    return source, output_scale, HEADS[head], count


def _expect_canonical(data: bytes, wanted: bytes) -> None:
    """Refuse padding that is not zero and codes longer than need be: one program, one file."""
    if data != wanted:
        pairs = enumerate(zip(data, wanted, strict=False))
        byte = next((i for i, (a, b) in pairs if a != b), min(len(data), len(wanted)))
        raise FileError(f"byte {byte} is not as Horner writes this program; padding or a code is not the shortest")


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "little")


def _guess(data: bytes) -> str:
    """What a file that does not begin with the magic number may be."""
    if not data:
        return "it is empty"
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data):
        return "it looks like safetensors"
    if data.startswith((b"PK", b"\x80\x02")):
        return "it looks like a PyTorch or zip file"
    if data[:1] == b"\x08" and len(data) > 2 and data[2:3] in b"\x12\x1a":
        return "it looks like an ONNX model"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in data[:64]):
        return "it looks like text"
    return f"it begins with {data[:4].hex(' ')} where {MAGIC.hex(' ')} ({MAGIC.decode()}) was expected"
