"""Layers on an array that takes its operands as a stream; tests/backends/rtl compare it with the hardware itself."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from horner.hardware.stream import Stream, cycles


@st.composite
def streams(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, kernel[1]) if kernel[1] > 1 else st.integers(1, 3)))
    outputs = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    inner, terms = draw(st.integers(1, 8)), draw(st.integers(0, min(2, kernel[1])))
    filters, passes = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    taps = inner * (terms or kernel[1])
    return Stream(
        size=tuple((o - 1) * s + k for o, s, k in zip(outputs, stride, kernel, strict=True)),
        channels=inner * draw(st.integers(1, 3)),
        inner=inner,
        kernel=kernel,
        stride=stride,
        wide=draw(st.booleans()),
        terms=terms,
        passes=passes,
        filters=filters,
        outputs=filters * passes,
        segment=1,
        coefficients=1,
        ring=2 << (taps - 1).bit_length(),
    )


def windows(layer):
    return [
        (size - kernel) // stride + 1
        for size, kernel, stride in zip(layer.size, layer.kernel, layer.stride, strict=True)
    ]


@given(streams())
def test_no_layer_is_faster_than_its_slowest_block(layer):
    height, width = windows(layer)
    takes = cycles(layer)
    assert takes > layer.size[0] * layer.size[1] * layer.channels
    assert takes > height * width * layer.passes * layer.taps
    assert takes > height * width * layer.outputs
    assert takes > height * layer.size[1] * layer.inner * (1 if layer.wide else layer.kernel[0])


@given(streams())
def test_no_layer_is_slower_than_its_blocks_one_after_the_other(layer):
    height, width = windows(layer)
    steps = (layer.size[0] * layer.size[1], max(layer.channels, layer.inner * max(layer.kernel)))
    assert cycles(layer) <= steps[0] * steps[1] + height * width * layer.window + layer.filters + 25


@given(streams(), st.integers(0, 3))
def test_more_of_anything_that_helps_never_hurts(layer, doublings):
    assert cycles(dataclasses.replace(layer, ring=layer.ring << doublings)) <= cycles(layer)
    assert cycles(dataclasses.replace(layer, wide=True)) <= cycles(dataclasses.replace(layer, wide=False))
    fewer = dataclasses.replace(layer, passes=1, outputs=layer.filters)
    assert cycles(fewer) <= cycles(layer)
