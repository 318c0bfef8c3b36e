"""The model meets the published chip; tables III and V of the paper stand in `benchmarks.eyeriss`."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.eyeriss import BATCH, EYERISS_JSSC17_TABLE_V
from horner.errors import ArchitectureError
from horner.hardware import architecture
from horner.hardware.row_stationary import buffer_words, check, cost, mappings, merit, search
from horner.hardware.shape import ConvShape

EYERISS = architecture.load("eyeriss")
MB = 1e6

each_layer = pytest.mark.parametrize("row", EYERISS_JSSC17_TABLE_V, ids=lambda row: row.shape.name)


def megabytes(words):
    return words * EYERISS.word_bytes / MB


def milliseconds(cycles):
    return cycles / EYERISS.clock_mhz / 1e3


@each_layer
def test_the_published_mapping_takes_the_published_buffer_and_pes(row):
    check(row.shape, EYERISS, row.mapping, BATCH)
    ifmap, psum = (words * EYERISS.word_bytes / 1024 for words in buffer_words(row.shape, row.mapping))
    assert (round(ifmap, 1), round(psum, 1)) == (row.ifmap_kb, row.psum_kb)
    assert cost(row.shape, EYERISS, row.mapping, BATCH).active == row.active


@each_layer
def test_time_and_traffic_of_every_layer_are_near_the_measured_ones(row):
    found = cost(row.shape, EYERISS, row.mapping, BATCH)
    assert milliseconds(found.cycles.processing) == pytest.approx(row.processing_ms, rel=0.10)
    assert row.buffer_mb / 1.5 <= megabytes(found.accesses.buffer) <= row.buffer_mb * 1.5
    assert row.dram_mb / 1.3 <= megabytes(found.accesses.dram) <= row.dram_mb * 1.3


def test_time_and_traffic_in_all_are_near_the_measured_ones():
    found = [cost(row.shape, EYERISS, row.mapping, BATCH) for row in EYERISS_JSSC17_TABLE_V]
    assert milliseconds(sum(one.cycles.processing for one in found)) == pytest.approx(103.5, rel=0.05)
    assert megabytes(sum(one.accesses.buffer for one in found)) == pytest.approx(208.5, rel=0.15)
    assert megabytes(sum(one.accesses.dram for one in found)) == pytest.approx(15.4, rel=0.15)
    assert sum(one.macs for one in found) == pytest.approx(2.66e9, rel=0.01)


@each_layer
def test_the_mapping_found_is_at_least_as_good_as_the_published_one(row):
    compare = merit(EYERISS)
    assert compare(search(row.shape, EYERISS, BATCH)) <= compare(cost(row.shape, EYERISS, row.mapping, BATCH))


shapes = st.builds(
    lambda kernel, extra, filters, channels, groups, stride, padding: ConvShape(
        name="conv",
        filters=filters * groups,
        channels=channels * groups,
        kernel=(kernel, kernel),
        size=(kernel + extra, kernel + extra),
        stride=stride,
        padding=(min(padding, kernel - 1),) * 2,
        groups=groups,
    ),
    st.integers(1, 7), st.integers(0, 20), st.integers(1, 40), st.integers(1, 20), st.integers(1, 3), st.integers(1, 2),
    st.integers(0, 3),
)  # fmt: skip


@given(shapes, st.integers(1, 3), st.data())
def test_no_mapping_is_faster_than_its_pes_nor_moves_less_than_everything_once(shape, batch, data):
    legal = list(mappings(shape, EYERISS, batch))
    mapping = data.draw(st.sampled_from(legal))
    found = cost(shape, EYERISS, mapping, batch)
    assert found.active <= EYERISS.pes
    assert found.cycles.processing * found.active >= found.macs == batch * shape.macs
    outputs = batch * shape.filters * shape.outputs[0] * shape.outputs[1]
    assert found.dram_uncoded >= shape.weights + outputs
    assert found.accesses.buffer >= 2 * outputs
    assert found.accesses.dram <= found.dram_uncoded
    assert sum(found.energy(EYERISS).values()) >= found.macs
    assert 0 < found.utilisation(EYERISS) <= 1
    compare = merit(EYERISS)
    assert compare(search(shape, EYERISS, batch)) <= compare(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": 3}, r"CONV1: r t sets = 3 .* exceeds 2, the array of 12x14"),
        ({"p": 25, "m": 25}, "p q S = 275 .* exceeds 224, scratchpad.filter"),
        ({"q": 2, "p": 1}, "q S = 22 .* exceeds 12, scratchpad.ifmap"),
        ({"n": 2}, "ifmap and psum words = .* exceeds 51200, the global buffer"),
        ({"n": 5, "m": 1}, "n = 5 .* exceeds 4, the batch"),
        ({"m": 97}, "m = 97 .* exceeds 96, the layer's filters"),
    ],
)
def test_a_mapping_beyond_a_limit_is_refused_with_the_limit(change, message):
    row = EYERISS_JSSC17_TABLE_V[0]
    with pytest.raises(ArchitectureError, match=message):
        cost(row.shape, EYERISS, dataclasses.replace(row.mapping, **change), BATCH)


@pytest.mark.parametrize(
    ("kernel", "size", "message"),
    [
        ((13, 1), (20, 20), "conv: a kernel of 13 rows does not fit the array's rows = 12"),
        ((1, 13), (20, 20), "conv: a kernel of 13 columns does not fit the array's scratchpad.ifmap = 12"),
        ((1, 1), (1, 60000), "one row of 60000 partial sums .* exceed buffer.kilobytes = 108"),
    ],
)
def test_a_layer_that_no_mapping_fits_is_refused_with_the_limit(kernel, size, message):
    with pytest.raises(ArchitectureError, match=message):
        search(ConvShape(name="conv", filters=4, channels=1, kernel=kernel, size=size), EYERISS)
