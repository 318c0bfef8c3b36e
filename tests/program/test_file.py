"""A program's file is small, the only one it has, read back exactly, and anything else is refused in one line."""

from __future__ import annotations

import dataclasses
import random
import re
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import strategies
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from horner.backends import reference
from horner.basis import Axis
from horner.errors import FileError
from horner.program.account import account
from horner.program.arithmetic import Signed, encode
from horner.program.file import _write, breakdown, dumps, load, loads, save
from horner.program.layers import AdaptiveAveragePool, Add, Conv, Flatten, Layer, MaxPool, Output, Value
from horner.program.program import Input, Program
from horner.program.weights import Positional, Ranked, constant, usual_shifts

PROGRAMS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LARGEST_PEAK = 64 << 20
DOCUMENT = Path(__file__).parents[2] / "docs" / "file-format.md"


def conv(source: int, *axes: Axis, bits: int = 6, seed: int = 0, padding: tuple[int, int] = (0, 0)) -> Conv:
    generator = np.random.default_rng(seed)
    spread = generator.laplace(size=[axis.coefficients for axis in axes])
    limit = (1 << (bits - 1)) - 1
    core = np.round(spread / max(np.abs(spread).max(), 1e-9) * limit).astype(int)
    out = axes[0].length
    bias = Positional((Axis(out),), generator.integers(-100, 100, out), 8)
    return Conv(source, Positional(axes, core, bits), bias, Output(constant(23, out, 8), 20, -128), padding=padding)


def lenet5() -> Program:
    """LeNet-5 with 1,494 coefficients of 6 bits."""
    return Program(
        Input((1, 28, 28), 1 / 255, -128, pixels=True),
        (
            conv(0, Axis(6, 2, 1), Axis(1), Axis(5, degree=2), Axis(5, degree=2), padding=(2, 2)),
            MaxPool(1, (2, 2), (2, 2)),
            conv(2, Axis(16, 4, 1), Axis(6, 2, 1), Axis(5, degree=2), Axis(5, degree=2)),
            MaxPool(3, (2, 2), (2, 2)),
            conv(4, Axis(120, 30, 1), Axis(16, 4, 2), Axis(5, degree=2), Axis(5, degree=2)),
            conv(5, Axis(84, 21, 1), Axis(120, 30, 1), Axis(1), Axis(1)),
            conv(6, Axis(10), Axis(84, 21, 1), Axis(1), Axis(1)),
        ),
        output_scale=0.0625,
    )


def sealed(content: bytes) -> bytes:
    """The content with the checksum it ought to have."""
    return content + zlib.crc32(content).to_bytes(4, "little")


def flipped(data: bytes, *bits: int) -> bytes:
    """The file with some bits of its content flipped and its checksum put right."""
    content = bytearray(data[:-4])
    for bit in bits:
        content[bit // 8] ^= 128 >> bit % 8
    return sealed(bytes(content))


def answer(data: bytes) -> str:
    """What `loads` says: nothing where it takes the data. Every file taken is the one its program has."""
    try:
        program = loads(data)
    except FileError as error:
        message = str(error)
    else:
        message = ""
        assert dumps(program) == data
    assert "\n" not in message
    return message


def cost(data: bytes) -> tuple[float, int]:
    """Processor seconds of `answer` and, run once more, bytes it had allocated at its peak."""
    start = time.process_time()
    answer(data)
    seconds = time.process_time() - start
    tracemalloc.start()
    try:
        answer(data)
        return seconds, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestRoundTrip:
    @PROGRAMS
    @given(strategies.programs(), strategies.generators())
    def test_a_loaded_program_saves_to_the_same_bytes_and_computes_the_same(self, program, generator):
        data = dumps(program)
        loaded = loads(data)
        assert dumps(loaded) == data
        images = strategies.images(program, generator)
        with np.errstate(all="ignore"):
            wanted, found = (reference.run(p, images) for p in (program, loaded))
            logits = [p.logits(outputs) for p, outputs in ((program, wanted), (loaded, found))]
        assert np.array_equal(wanted, found, equal_nan=True)
        assert np.array_equal(*logits, equal_nan=True)
        assert (loaded.input, loaded.head, loaded.output_scale) == (program.input, program.head, program.output_scale)

    @PROGRAMS
    @given(strategies.programs())
    def test_every_layer_comes_back_field_by_field(self, program):
        loaded = loads(dumps(program))
        assert loaded.values == program.values
        for mine, theirs in zip(loaded.layers, program.layers, strict=True):
            assert fields(mine) == fields(theirs)

    def test_a_file_holds_what_dumps_returns(self, tmp_path):
        path = tmp_path / "sub" / "net.horner"
        size = save(lenet5(), path)
        assert path.stat().st_size == size
        assert path.read_bytes() == dumps(lenet5()) == dumps(load(path))
        assert [p.name for p in path.parent.iterdir()] == ["net.horner"]

    def test_a_folder_in_the_way_is_one_clear_error(self, tmp_path):
        with pytest.raises(FileError, match=f"cannot write {tmp_path}"):
            save(lenet5(), tmp_path)
        assert list(tmp_path.iterdir()) == []


class TestSize:
    def test_what_is_neither_graph_nor_payload_takes_about_20_bytes(self):
        parts = dict(breakdown(lenet5()))
        assert parts["header"] + parts["checksum"] < 20
        plain = Program(Input((1, 28, 28)), (MaxPool(0, (2, 2), (2, 2)),))
        assert len(dumps(plain)) <= 16

    def test_the_graph_of_a_layer_takes_about_8_bytes(self):
        for name, size in breakdown(lenet5()):
            if name.endswith("graph"):
                assert size <= (8.5 if name.startswith(("conv", "linear")) else 2)

    def test_a_constant_vector_takes_two_bytes(self):
        sizes = dict(breakdown(lenet5()))
        assert {size for name, size in sizes.items() if name.endswith("multipliers")} == {2.0}

    def test_lenet5_takes_little_more_than_its_coefficients(self):
        program = lenet5()
        stored = sum(layer.weights.stored * 6 for _, layer in program.convolutions()) / 8
        biases = sum(layer.bias.stored for _, layer in program.convolutions() if layer.bias is not None)
        assert len(dumps(program)) < stored + biases

    @PROGRAMS
    @given(strategies.programs())
    def test_the_parts_sum_to_the_file(self, program):
        data = dumps(program)
        assert sum(size for _, size in breakdown(program)) == len(data)
        assert breakdown(data) == breakdown(program)
        assert {name.split()[0] for name, _ in breakdown(data)} >= {"header", "checksum", *program.names}


def shift_bits(program: Program, shifts: np.ndarray) -> float:
    """What the shifts of the one layer take in the file."""
    layer = program.layers[0]
    weights = dataclasses.replace(layer.weights, shifts=shifts)
    shifted = Program(program.input, (dataclasses.replace(layer, weights=weights),))
    np.testing.assert_array_equal(loads(dumps(shifted)).layers[0].weights.shifts, shifts)
    return 8 * dict(breakdown(shifted))["linear1 shifts"]


class TestRefusal:
    @pytest.mark.parametrize("length", [0, 1, 3, 4, 7])
    def test_the_beginning_of_a_file_is_refused(self, length):
        assert answer(dumps(lenet5())[:length])

    def test_a_file_cut_anywhere_is_refused(self):
        data = dumps(lenet5())
        for length in range(len(data)):
            assert answer(data[:length])

    @PROGRAMS
    @given(strategies.programs(most_layers=3), st.data())
    def test_a_file_cut_anywhere_with_its_checksum_put_right_is_refused(self, program, data):
        whole = dumps(program)
        assert answer(sealed(whole[: data.draw(st.integers(4, len(whole) - 5))]))

    def test_every_single_wrong_bit_is_found_by_the_checksum(self):
        data = dumps(lenet5())
        for bit in range(0, 8 * len(data), 7):
            wrong = bytearray(data)
            wrong[bit // 8] ^= 128 >> bit % 8
            assert answer(bytes(wrong))

    def test_bytes_after_the_last_layer_are_refused(self):
        data = dumps(lenet5())
        assert "checksum" in answer(data + b"\0")
        assert "1 bytes follow the last layer" in answer(sealed(data[:-4] + b"\0"))

    def test_padding_that_is_not_zero_is_refused(self):
        data = dumps(Program(Input((1, 4, 4)), (MaxPool(0, (2, 2), (2, 2)),)))
        assert dict(breakdown(data))["padding"] > 0
        assert f"byte {len(data) - 5} is not as Horner writes" in answer(flipped(data, 8 * (len(data) - 4) - 1))

    def test_another_version_is_named_beside_those_that_are_read(self):
        data = dumps(lenet5())
        assert answer(data[:3] + b"\x07" + data[4:]) == (
            "the data is of version 7 of the format; this Horner reads versions 1 to 4"
        )

    def test_files_of_version_1_are_read_and_saved_anew_in_the_present_one(self):
        first = (Path(__file__).parents[1] / "data" / "lenet5.horner").read_bytes()
        assert first[3] == 1
        program = loads(first)
        assert sum(size for _, size in breakdown(first)) == account(program, first).file_bytes == len(first)
        again = dumps(program)
        assert again[3] == 4
        images = np.random.default_rng(0).integers(0, 256, (4, *program.input.shape), np.uint8)
        np.testing.assert_array_equal(reference.run(loads(again), images), reference.run(program, images))

    def test_long_runs_are_coded_and_plain_in_version_2(self):
        levels = np.random.default_rng(0).choice(3, (256, 32, 3, 3), p=(0.7, 0.2, 0.1)).astype(np.uint8)
        ternary = Ranked(levels, 2, 1, True, np.array([[3, 5]]), 4)
        program = Program(Input((32, 5, 5)), (Conv(0, ternary, None, Output(constant(1, 256, 2))),))
        data, former = dumps(program), _write(program, 2)[0]
        for file in (data, former):
            again = loads(file)
            np.testing.assert_array_equal(again.layers[0].weights.levels, levels)
            assert account(again, file).file_bytes == len(file) == sum(size for _, size in breakdown(file))
        sizes = [dict(breakdown(file))["conv1 levels"] for file in (data, former)]
        assert sizes[1] == levels.size / 4
        assert 1.157 / 2 < sizes[0] / sizes[1] < 1.2 / 2  # their entropy

    def test_files_of_version_3_are_read_and_saved_anew_in_fewer_bytes(self):
        core = np.random.default_rng(0).choice((-2, -1, 0, 1), (32, 32, 3, 3), p=(0.05, 0.25, 0.45, 0.25))
        weights = Positional((Axis(32), Axis(32), Axis(3), Axis(3)), core, 2)
        program = Program(Input((32, 5, 5)), (Conv(0, weights, None, Output(constant(1, 32, 2))),))
        former = _write(program, 3)[0]
        again = loads(former)
        np.testing.assert_array_equal(again.layers[0].weights.core, core)
        assert account(again, former).file_bytes == len(former) == sum(size for _, size in breakdown(former))
        assert len(former) - len(dumps(again)) > (core == -2).sum() / 8 - 2  # a bit each

    def test_usual_shifts_take_two_bits_and_others_more(self):
        axes = Axis(8, degree=1), Axis(6, degree=1), Axis(5, degree=2), Axis(5, degree=2)
        core = np.random.default_rng(0).integers(-8, 8, [axis.coefficients for axis in axes])
        usual = usual_shifts(axes)
        other = usual.copy()
        other[0, 0, 0, 0] += 1
        program = Program(Input((6, 5, 5)), (Conv(0, Positional(axes, core, 4), None, Output(constant(1, 8, 2))),))
        assert [shift_bits(program, shifts) for shifts in (usual, usual + 3)] == [2, 7]
        assert shift_bits(program, other) > 40

    @PROGRAMS
    @given(st.binary(max_size=300))
    @example(b"\0" * 200)
    @example(b"\xff" * 200)
    def test_random_content_is_refused_or_is_a_file(self, content):
        answer(content)
        for version in (2, 3, 4):
            answer(sealed(b"HRN" + bytes([version]) + content))

    @PROGRAMS
    @given(strategies.programs(), st.data())
    def test_flipped_bits_are_refused_or_are_another_file(self, program, data):
        whole = dumps(program)
        places = st.integers(32, 8 * len(whole) - 33)
        answer(flipped(whole, *data.draw(st.lists(places, min_size=1, max_size=4))))

    def test_thousands_of_mutations_are_refused_or_are_other_files(self):
        generator = random.Random(0)
        whole = dumps(lenet5())
        graph = [*range(32, 32 + 8 * 30), *range(8 * len(whole) - 33 - 8 * 40, 8 * len(whole) - 33)]
        answers = [answer(flipped(whole, *generator.sample(graph, generator.randint(1, 3)))) for _ in range(400)]
        assert any(answers)

    def test_the_layer_and_its_first_byte_are_named(self):
        program = Program(Input((1, 4, 4)), (Flatten(0), MaxPool(1, (1, 1), (1, 1))))
        data = dumps(program)
        with pytest.raises(FileError, match=r"^the data is malformed: layer 1, from byte \d+: "):
            loads(sealed(data[:-6]))


class TestHostileSizes:
    """Files of a few kilobytes that promise much: never 64 MiB, never much more than a second."""

    LONG = 1 << 16

    def long(self, number: int, degree: int = 1) -> Conv:
        """A layer of the longest axes, whose filters are few coefficients."""
        out, channels = (self.LONG, 1) if number % 2 == 0 else (1, self.LONG)
        axes = Axis(out, degree=degree), Axis(channels, degree=degree), Axis(1), Axis(1)
        core = np.ones([axis.coefficients for axis in axes], int)
        return Conv(number, Positional(axes, core, 2), None, Output(constant(1, out, 2)))

    def tiny(self, number: int, shift: int = 0) -> Conv:
        weights = Positional((Axis(1),) * 4, np.ones((1,) * 4, int), 2)
        return Conv(number, weights, None, Output(constant(1, 1, 2), shift))

    def test_layers_as_many_and_axes_as_long_as_can_be(self):
        small = Input((1, 1, 1))
        for layers in (
            [self.long(i) for i in range(16)],
            [self.long(i, 0) for i in range(16)],
            [self.tiny(i) for i in range(400)],
            [Flatten(i) for i in range(4096)],
            [AdaptiveAveragePool(i, (4096, 4096)) for i in range(500)],
            [Add((0,) * 9000, (1,) * 9000)],
        ):
            seconds, peak = cost(dumps(Program(small, tuple(layers))))
            assert peak < LARGEST_PEAK
            assert seconds < 3

    @pytest.mark.parametrize(
        ("layers", "message"),
        [
            (lambda self: [self.long(i) for i in range(33)], "1114128 filters; at most 1048576 are possible"),
            (lambda self: [Flatten(i) for i in range(4097)], "header: a number 4096 where at most 4095 is possible"),
            (
                lambda self: [AdaptiveAveragePool(0, (4097, 4096))],
                "layer 0, from byte 7: an output of 16781312 elements",
            ),
            (lambda self: [self.shifted(31)], "layer 0, from byte 7: sums up to"),
            (lambda self: [Add((0, 0), (2**31 - 1, -(2**31)))], "layer 0, from byte 7: multipliers up to 2147483648"),
            (lambda self: [Flatten(0), self.tiny(1, shift=63)], "layer 1, from byte 8: a shift of 63; 0 to 62"),
        ],
    )
    def test_what_no_program_may_have_is_refused(self, layers, message):
        data = dumps(unchecked(Input((1, 1, 1)), tuple(layers(self))))
        with pytest.raises(FileError, match=re.escape(message)):
            loads(data)
        seconds, peak = cost(data)
        assert peak < LARGEST_PEAK
        assert seconds < 3

    def shifted(self, shift: int) -> Conv:
        weights = Positional((Axis(1),) * 4, np.full((1,) * 4, -(1 << 15)), 16, np.full((1,) * 4, shift))
        return Conv(0, weights, None, Output(Positional((Axis(1),), np.array([32767]), 16)))

    @pytest.mark.parametrize("segment", [1, 2, 65535])
    def test_an_axis_of_more_coefficients_than_there_are_bits_is_refused(self, segment):
        axes = (Axis(self.LONG, segment, 1), *(Axis(1),) * 3)
        noise = np.random.default_rng(0).integers(-8, 8, [axis.coefficients for axis in axes])
        layer = Conv(0, Positional(axes, noise, 4), None, Output(constant(1, self.LONG, 2)))
        data = sealed(dumps(Program(Input((1, 1, 1)), (layer,)))[:20])
        with pytest.raises(FileError, match=r"layer 0, from byte 7: .* where \d+ remain"):
            loads(data)
        assert cost(data)[1] < 1 << 20

    def test_long_coded_runs_take_long_files(self):
        sparse = (np.random.default_rng(0).random((1, self.LONG, 1, 1)) < 0.04).astype(int)
        layer = Conv(0, Positional((Axis(1), Axis(self.LONG), Axis(1), Axis(1)), sparse, 3), None, self.tiny(0).output)
        data = dumps(Program(Input((self.LONG, 1, 1)), (layer,)))
        assert len(data) > self.LONG * 3 / 8 / 8
        seconds, peak = cost(data)
        assert peak < LARGEST_PEAK
        assert seconds < 3


class TestMistakes:
    """Files that are no `.horner` files, each refused in one line that names it and says what it looks like."""

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("empty.horner", b"", "is not a .horner file: it is empty"),
            ("notes.txt", b"Horner, 1819\n", "is not a .horner file: it looks like text"),
            ("net.onnx", b"\x08\x09\x12\x07pytorch", "is not a .horner file: it looks like an ONNX model"),
            ("net.pt", b"PK\x03\x04\x00\x00", "is not a .horner file: it looks like a PyTorch or zip file"),
            ("image.png", b"\x89PNG\r\n\x1a\n", "is not a .horner file: it begins with 89 50 4e 47"),
            ("cut.horner", b"HRN\x04\x00", "is cut off after 5 bytes"),
            ("next.horner", b"HRN\x05\x00", "is of version 5 of the format; this Horner reads versions 1 to 4"),
        ],
    )
    def test_the_mistake_is_named(self, tmp_path, name, content, message):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FileError, match=f"^{re.escape(str(path))} {re.escape(message)}"):
            load(path)

    def test_safetensors_are_recognised(self, tmp_path):
        path = tmp_path / "m.safetensors"
        save_file({"weight": np.zeros(3, np.float32)}, path)
        with pytest.raises(FileError, match=r"m\.safetensors is not a \.horner file: it looks like safetensors"):
            load(path)

    def test_a_missing_file_and_a_folder_are_named(self, tmp_path):
        with pytest.raises(FileError, match=f"{tmp_path}/none.horner"):
            load(tmp_path / "none.horner")
        with pytest.raises(FileError, match=f"{tmp_path}"):
            load(tmp_path)

    def test_a_file_too_large_is_refused_unread(self, tmp_path):
        path = tmp_path / "large.horner"
        with path.open("wb") as file:
            file.truncate((1 << 30) + 1)
        with pytest.raises(FileError, match="more than the 1073741824 allowed"):
            load(path)


class TestDocument:
    def test_the_example_of_the_specification_is_what_horner_writes(self):
        text = DOCUMENT.read_text()
        dump = re.search(r"<!-- example -->\n```text\n(.*?)```", text, re.S)
        assert dump is not None
        data = dumps(documented())
        rows = [f"{start:04x}  {data[start : start + 16].hex(' ')}" for start in range(0, len(data), 16)]
        assert dump[1].splitlines() == rows

    def test_the_bits_explained_are_those_of_the_example(self):
        table = DOCUMENT.read_text().split("| bits | field |")[1]
        explained = "".join(re.findall(r"`([01 ]+)`", table)).replace(" ", "")
        content = dumps(documented())[4:-4]
        assert explained == f"{int.from_bytes(content, 'big'):0{8 * len(content)}b}"

    def test_the_coded_run_of_the_specification_is_what_horner_codes(self):
        numbers, digits = re.search(
            r"the coefficients ([-\d ]+) of 4 bits.*?<!-- run -->\n```text\n([01 ]+)\n```", DOCUMENT.read_text(), re.S
        ).groups()
        run = encode(np.array([int(number) for number in numbers.split()]), 4, Signed)
        assert "".join(map(str, run)) == digits.replace(" ", "")

    def test_the_example_holds_what_the_specification_says(self):
        program = loads(dumps(documented()))
        (_, layer), *_ = program.convolutions()
        assert program.output.shape == (2, 1, 1)
        assert layer.weights.core.ravel().tolist() == [5, -1, 2, -2, 0, 1]
        assert layer.weights.expand().ravel().tolist() == [10, 4, 2, 4, -1, -3, -3, -1]


def documented() -> Program:
    """The worked example of docs/file-format.md."""
    weights = Positional(
        (Axis(2), Axis(1), Axis(4, degree=2), Axis(1)), np.array([5, -1, 2, -2, 0, 1]).reshape(2, 1, 3, 1), 4
    )
    bias = Positional((Axis(2),), np.array([3, -3]), 3)
    layer = Conv(0, weights, bias, Output(constant(11, 2, 5), 6, -100, -100, 127))
    return Program(Input((1, 4, 1), 0.5, -128, pixels=True), (layer, Flatten(1)), head="softmax")


def unchecked(source: Input, layers: tuple[Layer, ...]) -> Program:
    """A program that need not be one."""
    values = [Value(source.shape, source.zero_point)]
    for layer in layers:
        values.append(layer.infer([values[i] for i in layer.inputs]))
    program = object.__new__(Program)
    vars(program).update(input=source, layers=layers, output_scale=1.0, head="logits", values=tuple(values))
    return program


def fields(thing: object) -> object:
    """A layer (or what it holds) as plain values that can be compared."""
    if isinstance(thing, np.ndarray):
        return thing.dtype.kind, thing.shape, thing.tolist()
    if dataclasses.is_dataclass(thing) and not isinstance(thing, Axis):
        return type(thing), {f.name: fields(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
    return thing
