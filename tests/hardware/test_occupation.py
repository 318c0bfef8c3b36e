"""PEs at work over time are what cycles, mapping and multiply-accumulates of a layer imply."""

from hypothesis import given
from hypothesis import strategies as st

from horner.hardware import architecture
from horner.hardware.occupation import Phase, occupation
from horner.hardware.row_stationary import Mapping, cost, mappings
from horner.hardware.shape import ConvShape, Core

EYERISS = architecture.load("eyeriss")


@st.composite
def layers(draw):
    """A shape, dense or with reuse, a legal mapping of it and a batch."""
    groups, kernel = draw(st.integers(1, 2)), draw(st.integers(1, 5))
    filters, channels = draw(st.integers(1, 30)), draw(st.integers(1, 12))
    size = kernel + draw(st.integers(0, 20)), kernel + draw(st.integers(0, 9))
    core = Core(
        filters=groups * draw(st.integers(1, filters)),
        channels=draw(st.integers(1, channels)),
        kernel=(draw(st.integers(1, kernel)), draw(st.integers(1, kernel))),
    )
    shape = ConvShape(
        name="conv",
        filters=groups * filters,
        channels=groups * channels,
        kernel=(kernel, kernel),
        size=size,
        groups=groups,
        reuse=draw(st.sampled_from((None, core))),
    )
    batch = draw(st.integers(1, 3))
    return shape, draw(st.sampled_from(list(mappings(shape, EYERISS, batch)))), batch


@given(layers())
def test_cycles_and_multiply_accumulates_are_those_of_the_layer(case):
    shape, mapping, batch = case
    found = cost(shape, EYERISS, mapping, batch)
    phases = occupation(shape, found, batch)
    assert sum(phase.cycles for phase in phases) == found.cycles.total
    work = [phase for phase in phases if phase.pes]
    assert sum(phase.cycles for phase in work) == found.cycles.processing
    assert max(phase.pes for phase in work) == found.active <= EYERISS.pes
    assert sum(phase.cycles * phase.pes for phase in work if phase.doing == "multiply") == found.macs
    assert {phase.doing for phase in work} == {"multiply", "add"}


@given(layers())
def test_every_pe_of_a_pass_adds_every_partial_sum_up_once(case):
    shape, mapping, batch = case
    core, (height, width) = shape.core, shape.outputs
    together = mapping.q * mapping.r
    passes = [min(together, core.channels - start) for start in range(0, core.channels, together)]
    down = sum(core.kernel[0] * min(mapping.r, channels) for channels in passes)
    adding = [phase for phase in occupation(shape, cost(shape, EYERISS, mapping, batch), batch) if phase.doing == "add"]
    assert sum(phase.cycles * phase.pes for phase in adding) == batch * core.filters * height * width * down


def test_remainders_of_rows_and_filters_leave_pes_idle():
    conv = ConvShape(name="conv", filters=5, channels=3, kernel=(3, 3), size=(7, 6))
    found = cost(conv, EYERISS, Mapping(m=5, n=1, e=3, p=3, q=3, r=1, t=2))
    assert found.cycles.binding == "dram"
    parts = (3, 2, 2), (2, 2, 2), (3, 1, 1), (2, 1, 1)
    # 4 columns, 2 turns of two filters and one of one, 3 channels of 3 columns; 3 rows of the kernel, strips of 3 and 2
    assert occupation(conv, found) == (
        Phase("fill", found.cycles.fill),
        *(Phase("multiply", 4 * turns * 9, 3 * rows * t) for rows, turns, t in parts),
        *(Phase("add", 4 * turns, 3 * rows * t) for rows, turns, t in parts),
        Phase("dram", found.cycles.dram - found.cycles.processing),
    )
