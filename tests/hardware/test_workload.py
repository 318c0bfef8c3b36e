import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import positional, programs

from horner.basis import Axis
from horner.errors import ArchitectureError
from horner.hardware import architecture
from horner.hardware.coding import coded_ratio
from horner.hardware.row_stationary import Mapping, cost, mappings, merit, search
from horner.hardware.workload import shapes
from horner.program.layers import Conv, Output
from horner.program.program import Input, Program
from horner.program.schedule import count, possible
from horner.program.weights import Positional, constant

EYERISS = architecture.load("eyeriss")
PLENTY = 1 << 20
VAST = architecture.parse(
    f"""
    rows = {PLENTY}
    columns = {PLENTY}
    clock_mhz = 1.0
    scratchpad = {{ filter = {PLENTY}, ifmap = {PLENTY}, psum = {PLENTY} }}
    buffer = {{ kilobytes = {PLENTY}.0 }}
    bandwidth = {{ buffer = 1.0, dram = 1.0 }}
    """.encode(),
    "vast.toml",
)
"""An array on which every layer is one pass."""


def program_of(weights, size, **geometry):
    out, channels, *_ = weights.shape
    groups = geometry.get("groups", 1)
    layer = Conv(0, weights, None, Output(constant(1, out, 8)), **geometry)
    return Program(Input((channels * groups, *size)), (layer,)), layer


def polynomials(axes):
    return Positional(axes, np.ones(tuple(axis.coefficients for axis in axes), np.int32), 8)


@st.composite
def layers(draw):
    """A program of one convolution whose windows cover its input once."""
    out, channels, rows, columns = (draw(st.integers(1, most)) for most in (9, 9, 5, 5))
    size = rows + draw(st.integers(0, 6)), columns + draw(st.integers(0, 6))
    return program_of(draw(positional((out, channels, rows, columns), st.just(8))), size)


@given(layers())
def test_an_array_of_one_pass_does_the_operations_of_the_schedule(case):
    program, layer = case
    (ways,) = shapes(program).values()
    schedules = possible(layer)
    assert len(ways) == len(schedules)
    source, result = program.values
    for shape, schedule in zip(ways, schedules, strict=True):
        core, height = shape.core, shape.outputs[0]
        found = cost(shape, VAST, Mapping(core.filters, 1, height, core.filters, core.channels, 1, 1))
        wanted = count(layer, source, result, schedule)
        assert found.macs == wanted.multiplications
        taps = core.channels * core.kernel[0] * core.kernel[1]
        in_pes = core.filters * result.shape[1] * result.shape[2] * (taps - 1)
        assert found.additions == wanted.additions - in_pes, str(schedule)
        assert found.accesses.dram == shape.coefficients + source.size + result.size


@given(layers(), st.data())
def test_reuse_on_any_mapping_reads_every_pixel_and_coefficient_and_writes_every_output(case, data):
    program, _ = case
    (ways,) = shapes(program).values()
    shape = data.draw(st.sampled_from(ways))
    found = cost(shape, EYERISS, data.draw(st.sampled_from(list(mappings(shape, EYERISS)))))
    source, result = program.values
    assert found.cycles.processing * found.active >= found.macs
    assert found.accesses.dram >= shape.coefficients + source.size + result.size
    assert found.accesses.buffer >= source.size + 2 * shape.core.filters * result.shape[1] * result.shape[2]
    assert found.energy(EYERISS)["add"] == found.additions


def test_reuse_costs_less_than_row_stationary_where_polynomials_are_long():
    axes = Axis(64, 16, 1), Axis(64, 16, 1), Axis(3), Axis(3)
    program, _ = program_of(polynomials(axes), (16, 16), padding=(1, 1))
    (ways,) = shapes(program).values()
    found = [search(shape, EYERISS) for shape in ways]
    dense, best = found[0], min(found, key=merit(EYERISS))
    assert best.macs * 64 == dense.macs
    assert best.cycles.processing < dense.cycles.processing / 16
    assert best.cycles.total < dense.cycles.total / 3  # it waits for DRAM, which still moves all activations
    assert sum(best.energy(EYERISS).values()) < sum(dense.energy(EYERISS).values()) / 4


def test_a_pass_takes_whole_segments_of_channels():
    program, _ = program_of(polynomials((Axis(4), Axis(8, 4, 1), Axis(3), Axis(3))), (8, 8))
    shape = shapes(program)["conv1"][-1]
    assert (shape.core.channels, shape.core.terms) == (4, 2)
    assert not {1, 3} & {m.q * m.r for m in mappings(shape, EYERISS)}
    with pytest.raises(
        ArchitectureError, match=r"conv1: q r = 3 of mapping .* is no multiple of 2, the sums of a segm"
    ):
        cost(shape, EYERISS, Mapping(4, 1, 1, 4, 3, 1, 1))


def test_an_array_that_cannot_hold_a_kernel_row_may_hold_what_it_is_gathered_into():
    program, _ = program_of(polynomials((Axis(4), Axis(1), Axis(3), Axis(15, degree=1))), (20, 20))
    dense, reused = shapes(program)["conv1"]
    with pytest.raises(
        ArchitectureError, match=r"a kernel of 15 columns does not fit the array's scratchpad.ifmap = 12"
    ):
        search(dense, EYERISS)
    assert search(reused, EYERISS).macs == 4 * 3 * 2 * 18 * 6


@given(programs(integer=True))
def test_zeros_are_those_of_the_activations_given(program):
    images = np.full((2, *program.input.shape), program.input.zero_point, np.int8)
    layers = [layer for _, layer in program.convolutions()]
    if any(layer.stride[0] != layer.stride[1] or layer.dilation != (1, 1) for layer in layers):
        with pytest.raises(ArchitectureError, match=r"stride|dilation"):
            shapes(program, images)
        return
    found = shapes(program, images)
    for (name, layer), ways in zip(program.convolutions(), found.values(), strict=True):
        assert all(0 <= shape.zeros_out <= 1 and shape.name == name for shape in ways)
        if layer.source == 0:
            assert ways[0].zeros_in == 1.0
            assert coded_ratio(ways[0].zeros_in) < 0.05


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ({"stride": (1, 2)}, r"conv1: stride \(1, 2\); an array strides alike"),
        ({"dilation": (2, 2)}, r"conv1: dilation \(2, 2\); an array reads neighbouring"),
    ],
)
def test_what_no_array_does_is_refused(geometry, message):
    program, _ = program_of(polynomials((Axis(4), Axis(1), Axis(3), Axis(3))), (9, 9), **geometry)
    with pytest.raises(ArchitectureError, match=message):
        shapes(program)
