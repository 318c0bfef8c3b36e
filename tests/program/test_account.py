import dataclasses
import functools
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from instruments import Counted, Tally
from rich.console import Console
from strategies import programs

from horner.backends.reference import accumulate
from horner.basis import Axis
from horner.errors import FileError
from horner.program.account import KernelRow, Units, account, kernel_row
from horner.program.file import dumps, save
from horner.program.layers import AdaptiveAveragePool, Add, AveragePool, Concat, Conv, Flatten, MaxPool, Output
from horner.program.program import Input, Program
from horner.program.schedule import plan
from horner.program.weights import FLOAT_BITS, Positional, Ranked, constant

DOCS = Path(__file__).parents[2] / "docs" / "numbers.md"
TOP = {
    *("coefficient_ratio", "value_ratio", "byte_ratio", "file_bytes", "dense_parameters", "coefficients"),
    *("multiplications", "additions", "dense_macs", "layers"),
}


def positional(*axes, bits=8, seed=0):
    limit = 1 << (bits - 1)
    shape = [axis.coefficients for axis in axes]
    return Positional(axes, np.random.default_rng(seed).integers(-limit, limit, shape), bits)


def conv(source, weights, **geometry):
    out = weights.shape[0]
    multiplier = Positional((Axis(out),), np.full(out, 100), 8)
    bias = Positional((Axis(out),), np.full(out, -3000), 16)
    return Conv(source, weights, bias, Output(multiplier, 20, -128), **geometry)


@functools.cache
def lenet5():
    """LeNet-5 with AWF in its convolutions (linear columns) and AFMC (linear in segments of 4 channels) after them."""
    row = Axis(5, degree=1)
    return Program(
        Input((1, 28, 28), 1 / 255, -128, pixels=True),
        (
            conv(0, positional(Axis(6), Axis(1), Axis(5), row), padding=(2, 2)),
            MaxPool(1, (2, 2), (2, 2)),
            conv(2, positional(Axis(16), Axis(6), Axis(5), row)),
            MaxPool(3, (2, 2), (2, 2)),
            conv(4, positional(Axis(120), Axis(16, 4, 1), Axis(5), Axis(5))),
            conv(5, positional(Axis(84), Axis(120, 4, 1), Axis(1), Axis(1))),
            conv(6, positional(Axis(10), Axis(84, 4, 1), Axis(1), Axis(1))),
        ),
    )


def test_kernel_row_units_of_lenet5_are_the_published_ones():
    """Tolba et al. 2022: 54 % of the resources saved; 220 units against 102 for 6 and 16 filters of width 5."""
    numbers = account(lenet5())
    row = numbers.kernel_row
    assert row.row_stationary == Units(multipliers=110, adders=110)
    assert row.reuse == Units(multipliers=44, adders=44 + 2 * 7)
    assert (row.row_stationary.total, row.reuse.total) == (220, 102)
    assert f"{100 * row.saved:.1f}" == "53.6"
    rows = [layer.name for layer in numbers.layers if layer.kernel_row]
    assert rows == ["conv1", "conv2"]
    told = numbers.to_dict()["kernel_row"]
    assert (told["row_stationary_units"], told["reuse_units"], told["saved"]) == (220, 102, row.saved)


def test_kernel_rows_of_other_convolutions():
    quadratic = conv(0, positional(Axis(8), Axis(1), Axis(7), Axis(7, degree=2)), groups=2)
    assert kernel_row(quadratic) == KernelRow(Units(56, 56), Units(24, 24 + 2 * 15))
    ranked = Ranked(np.zeros((4, 1, 3, 3), np.uint8), 2, 1, False, np.ones((1, 2), int), 8)
    assert kernel_row(conv(0, ranked)) == KernelRow(Units(12, 12), Units(12, 12))
    pointwise = Program(Input((4, 8, 8)), (conv(0, positional(Axis(8), Axis(4), Axis(1), Axis(1))),))
    assert account(pointwise).layers[0].kernel_row is None
    assert account(pointwise).kernel_row.saved == 0.0


def test_lenet5_in_numbers():
    program = lenet5()
    numbers = account(program)
    weights = (150, 2400, 48_000, 10_080, 840)
    assert numbers.dense_weights == sum(weights) == 61_470
    assert numbers.dense_parameters == 61_706
    assert numbers.dense_bytes == 246_824
    assert [layer.coefficients for layer in numbers.layers] == [60, 0, 960, 0, 24_000, 5_040, 420]
    assert numbers.coefficients == 30_480
    assert numbers.coefficient_ratio == 61_470 / 30_480
    assert numbers.stored_values == 30_480 + 2 * 236 + 5  # biases, multipliers, one right shift per layer
    assert numbers.value_ratio == 61_706 / 30_957
    assert numbers.dense_macs == 150 * 28 * 28 + 2400 * 10 * 10 + 48_000 + 10_080 + 840
    assert numbers.multiplications == 60 * 28 * 28 + 960 * 10 * 10 + 24_000 + 5_040 + 420
    assert numbers.requantisations == 6 * 28 * 28 + 16 * 10 * 10 + 120 + 84 + 10
    assert [layer.dense_parameters for layer in numbers.layers] == [156, 0, 2416, 0, 48_120, 10_164, 850]
    assert [layer.accumulator_bits for layer in numbers.layers] == [32, None, 32, None, 32, 32, 32]
    assert [layer.schedule for layer in numbers.layers] == ["col", "", "col", "", "in", "in", "in"]


def test_the_manual_shows_these_numbers():
    text = DOCS.read_text()
    shown = re.search(r"```text\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    assert _without_bytes(shown[1]) == _without_bytes(rendered(lenet5(), 80))
    size = int(re.search(r"([\d,]+) bytes of file", shown[1])[1].replace(",", ""))
    assert size == pytest.approx(account(lenet5()).file_bytes, rel=0.01)


def _without_bytes(text):
    """The words of a table, but for sizes, which follow the file format to the last bit."""
    size = re.search(r"([\d,]+) bytes of file", text)[1]
    text = re.sub(r"[\d,]+\.\d(?=\s)|(?<=byte ratio )[\d.]+", "some", text)
    return text.replace(size, "some").split()


def test_every_field_is_explained_in_the_manual():
    text = DOCS.read_text()
    numbers = account(lenet5()).to_dict()
    for name in {*numbers, *numbers["layers"][0], *numbers["kernel_row"]}:
        assert f"`{name}`" in text, name


@given(programs())
def test_sums_over_layers_are_the_totals_and_bytes_are_the_files(program):
    numbers = account(program)
    for name in ("coefficients", "multiplications", "additions", "requantisations", "dense_macs", "stored_values"):
        assert getattr(numbers, name) == sum(getattr(layer, name) for layer in numbers.layers)
    size = len(dumps(program))
    assert numbers.file_bytes == size
    assert numbers.header_bytes + sum(layer.bytes for layer in numbers.layers) == size
    weights = [layer.weights for _, layer in program.convolutions()]
    parameters = sum(math.prod(w.shape) + w.shape[0] for w in weights)
    assert numbers.dense_parameters == parameters
    assert numbers.byte_ratio == 4 * parameters / size
    if weights:
        assert numbers.coefficient_ratio == sum(w.expand().size for w in weights) / sum(w.core.size for w in weights)
        assert numbers.stored_values >= sum(w.stored for w in weights)


@given(programs(integer=True))
def test_operations_of_convolutions_are_those_of_an_execution(program):
    numbers = account(program)
    for layer, row, result in zip(program.layers, numbers.layers, program.values[1:], strict=True):
        if isinstance(layer, Conv):
            source, tally = program.values[layer.source], Tally()
            schedule = plan(layer, source, result)
            accumulate(layer, Counted(np.ones((1, *source.shape), np.int64), tally), source, result, schedule)
            assert (row.multiplications, row.additions) == (tally.multiplications, tally.additions)
            assert row.multiplications + row.additions <= row.dense_macs + row.dense_additions
            assert row.requantisations == result.size


def test_additions_of_means_and_sums_are_counted_and_maxima_are_not():
    layers = (
        MaxPool(0, (2, 2), (2, 2)),  # (2, 2, 2)
        AveragePool(0, (2, 2), (2, 2)),  # 4 windows of 4
        AveragePool(0, (3, 3), (2, 2), (1, 1)),  # windows of 2x2, 2x3, 3x2 and 3x3 elements of the map
        AdaptiveAveragePool(0, (1, 1)),
        Add((1, 2, 2), (1, 1, 1)),
        Concat((5, 1), (1, 1)),
        Flatten(6),
    )
    rows = account(Program(Input((2, 4, 4)), layers)).layers
    assert [row.additions for row in rows] == [0, 2 * 4 * 3, 2 * (3 + 5 + 5 + 8), 2 * 15, 2 * 8, 0, 0]
    assert [row.requantisations for row in rows] == [0, 0, 0, 0, 24, 16, 0]
    assert [row.multiplications for row in rows] == [0] * 7
    assert [row.stored_values for row in rows] == [0, 0, 0, 0, 4, 3, 0]


def test_everything_learned_counts_as_stored():
    levels = np.zeros((4, 2, 3, 3), np.uint8)
    curve = Ranked(levels, 3, 2, True, np.ones((4, 3), int), 6, np.array([2, 1, 0]))
    layer = conv(0, curve)
    numbers = account(Program(Input((2, 5, 5)), (layer,)))
    assert numbers.coefficients == 12
    # levels, coefficients, family shifts, biases, multipliers, the right shift
    assert numbers.stored_values == 72 + 12 + 3 + 4 + 4 + 1
    assert numbers.layers[0].plan == "ranked=quadratic/3bit per_filter zero"
    assert numbers.coefficient_ratio == 72 / 12
    assert numbers.value_ratio == 76 / 96
    shared = dataclasses.replace(layer, bias=constant(5, 4, 8))
    assert account(Program(Input((2, 5, 5)), (shared,))).stored_values == 72 + 12 + 3 + 1 + 4 + 1


def test_a_float_program_has_no_accumulators_and_no_shifts():
    weights = Positional((Axis(4), Axis(2, degree=1), Axis(1), Axis(1)), np.ones((4, 2, 1, 1)), FLOAT_BITS)
    layer = Conv(0, weights, None, Output(constant(1.0, 4, FLOAT_BITS), low=0, high=np.inf))
    numbers = account(Program(Input((2, 5, 5), arithmetic="float32"), (layer, Add((1, 1), (1, 1), high=np.inf))))
    assert [row.accumulator_bits for row in numbers.layers] == [None, None]
    assert numbers.layers[0].bits == 32
    assert numbers.stored_values == 8 + 1
    assert numbers.layers[1].requantisations == 0
    assert numbers.layers[1].additions == 100


def test_a_program_without_weights_has_ratios_too():
    numbers = account(Program(Input((2, 4, 4)), (Flatten(0),)))
    assert (numbers.coefficient_ratio, numbers.value_ratio, numbers.byte_ratio) == (1.0, 1.0, 0.0)
    assert numbers.file_bytes == numbers.header_bytes + numbers.layers[0].bytes > 0


def test_the_byte_ratio_is_of_the_file_on_disk(tmp_path):
    program = lenet5()
    path = tmp_path / "lenet5.horner"
    save(program, path)
    numbers = account(program, path)
    assert numbers.file_bytes == path.stat().st_size
    assert numbers.byte_ratio == 4 * 61_706 / path.stat().st_size
    assert numbers == account(program) == account(program, str(path)) == account(program, path.read_bytes())


def test_a_file_of_another_program_is_refused(tmp_path):
    save(lenet5(), tmp_path / "lenet5.horner")
    other = Program(Input((2, 4, 4)), (Flatten(0),))
    with pytest.raises(FileError, match=r"lenet5\.horner holds another program"):
        account(other, tmp_path / "lenet5.horner")
    with pytest.raises(FileError, match="the data holds another program"):
        account(other, b"")
    with pytest.raises(FileError, match="cannot read"):
        account(other, tmp_path / "absent")


@given(programs())
def test_json_is_the_dictionary_and_has_the_promised_keys(program):
    numbers = account(program)
    told = json.loads(numbers.to_json())
    assert told == json.loads(json.dumps(numbers.to_dict(), allow_nan=False))
    assert set(told) >= TOP
    assert [row["name"] for row in told["layers"]] == list(program.names)


def rendered(program, width=160):
    console = Console(width=width, file=io.StringIO())
    console.print(account(program).table())
    return console.file.getvalue()


def test_the_table_has_a_row_per_layer_a_total_and_no_ratio_without_its_parts():
    text = rendered(lenet5())
    for name in lenet5().names:
        assert name in text
    assert re.search(r"total +30,480 +31,\d+ +172,500 +221,695 +416,520", text)
    assert "coefficient ratio 2.02 = 61,470 dense weights / 30,480 stored coefficients" in text
    assert "value ratio 1.99 = 61,706 dense parameters / 30,957 stored values" in text
    assert re.search(r"byte ratio [\d.]+ = 246,824 bytes of dense float32 / [\d,]+ bytes of file", text)
    assert "one kernel row of all filters 102 units, Row Stationary 220: 53.6 % saved" in text


@settings(max_examples=15)
@given(programs())
def test_a_coefficient_ratio_never_stands_without_the_byte_ratio(program):
    text = rendered(program)
    assert "coefficient ratio" in text
    assert "byte ratio" in text
