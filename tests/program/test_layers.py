import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import adaptive_pools, average_pools, convs, max_pools, sources
from torch.nn import functional as F

from horner.basis import Axis
from horner.errors import ProgramError
from horner.program.layers import AdaptiveAveragePool, Add, AveragePool, Concat, Conv, Flatten, MaxPool, Output, Value
from horner.program.weights import FLOAT_BITS, Positional, constant


def torch_shape(function, source, *arguments):
    return tuple(function(torch.zeros(1, *source.shape), *arguments).shape[1:])


@given(st.data())
def test_convolutions_have_torchs_shapes(data):
    source = data.draw(sources(size=12))
    layer = data.draw(convs(source))
    weights = torch.zeros(layer.weights.shape)
    wanted = torch_shape(F.conv2d, source, weights, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    assert layer.infer([source]) == Value(wanted, layer.output.zero_point)


@given(st.data())
def test_pools_have_torchs_shapes_and_keep_the_zero_point(data):
    source = data.draw(sources(size=12))
    pool = data.draw(max_pools(source))
    wanted = torch_shape(F.max_pool2d, source, pool.kernel, pool.stride, pool.padding, pool.dilation, pool.ceil)
    assert pool.infer([source]) == Value(wanted, source.zero_point)
    pool = data.draw(average_pools(source))
    wanted = torch_shape(F.avg_pool2d, source, pool.kernel, pool.stride, pool.padding, pool.ceil)
    assert pool.infer([source]) == Value(wanted, source.zero_point)
    pool = data.draw(adaptive_pools(source))
    assert pool.infer([source]) == Value((source.shape[0], *pool.size), source.zero_point)


@given(st.data())
def test_windows_of_averages_are_torchs(data):
    """A map that is 1 at one position shows which windows it is part of, and each window's divisor."""
    source = data.draw(sources(channels=1, size=7))
    pool = data.draw(st.one_of(average_pools(source), adaptive_pools(source)))
    rows, columns = pool.windows(source.shape[1:])
    size = tuple(pool.infer([source]).shape[1:])
    assert (len(rows), len(columns)) == size
    for y, x in np.ndindex(*source.shape[1:]):
        one = torch.zeros(1, 1, *source.shape[1:], dtype=torch.float64)
        one[0, 0, y, x] = 1
        if isinstance(pool, AveragePool):
            found = F.avg_pool2d(one, pool.kernel, pool.stride, pool.padding, pool.ceil, pool.count_padding)
        else:
            found = F.adaptive_avg_pool2d(one, pool.size)
        wanted = [
            [(top <= y < bottom and left <= x < right) / (height * width) for left, right, width in columns]
            for top, bottom, height in rows
        ]
        np.testing.assert_allclose(found[0, 0].numpy(), wanted)


def test_the_last_window_of_a_ceil_pool_starts_inside_the_map():
    source = Value((1, 5, 5))
    assert MaxPool(0, (2, 2), (2, 2), ceil=True).infer([source]).shape == (1, 3, 3)
    assert MaxPool(0, (1, 1), (3, 3), ceil=True).infer([source]).shape == (1, 2, 2)
    rows, _ = AveragePool(0, (3, 3), (2, 2), (1, 1), True, True).windows((6, 6))
    assert rows == [(0, 2, 3), (1, 4, 3), (3, 6, 3), (5, 6, 2)]
    rows, _ = AveragePool(0, (3, 3), (2, 2), (1, 1), True, False).windows((6, 6))
    assert rows == [(0, 2, 2), (1, 4, 3), (3, 6, 3), (5, 6, 1)]


def test_joins_take_their_own_zero_point():
    values = [Value((2, 3, 3), 5), Value((2, 3, 3), -7)]
    assert Add((0, 1), (1, 1), 0, 9).infer(values) == Value((2, 3, 3), 9)
    assert Concat((0, 1), (1, 1), 0, 9).infer([values[0], Value((4, 3, 3))]) == Value((6, 3, 3), 9)
    assert Flatten(0).infer(values[:1]) == Value((18, 1, 1), 5)


def conv(shape=(4, 2, 3, 3), bias=4, multiplier=4, bias_bits=8, **geometry):
    axes = tuple(Axis(n) for n in shape)
    vector = constant(1, bias, bias_bits)
    return Conv(0, Positional(axes, np.ones(shape, int), 8), vector, Output(constant(1, multiplier, 8)), **geometry)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (conv((4, 3, 3, 3)), r"\(4, 3, 3, 3\) in 1 groups do not fit 2 channels"),
        (conv(groups=2), "in 2 groups do not fit 2 channels"),
        (conv((3, 1, 3, 3), 3, 3, groups=2), "do not fit"),
        (conv(groups=0), "in 0 groups"),
        (conv((4, 2)), r"weights of shape \(4, 2\); out, in, row and col are wanted"),
        (conv((4, 2, 3)), r"weights of shape \(4, 2, 3\)"),
        (conv(bias=3), r"the bias has shape \(3,\) for 4 output channels"),
        (conv(multiplier=5), r"the multiplier has shape \(5,\) for 4 output channels"),
        (conv(bias_bits=FLOAT_BITS), "the bias and the weights must both be integers or both be floats"),
        (conv((4, 2, 7, 3)), r"kernel of \(7, 3\) .* does not fit a map of \(6, 6\) with padding \(0, 0\)"),
        (conv(dilation=(3, 3)), r"dilation \(3, 3\)\) does not fit"),
        (conv(stride=(0, 1)), r"stride \(0, 1\)"),
        (conv(padding=(-1, 0)), r"padding \(-1, 0\)"),
        (MaxPool(0, (2, 2), (2, 2), (2, 0)), r"padding \(2, 0\) is more than half the kernel \(2, 2\)"),
        (MaxPool(0, (0, 2), (2, 2)), r"kernel \(0, 2\)"),
        (MaxPool(0, (7, 2), (2, 2)), "does not fit"),
        (AveragePool(0, (2, 2), (0, 2)), r"stride \(0, 2\)"),
        (AveragePool(0, (1, 1), (1, 1), (1, 1)), "more than half"),
        (AdaptiveAveragePool(0, (0, 3)), r"adaptive pooling to \(0, 3\)"),
        (Add((0,), (1, 2)), "1 inputs with 2 multipliers"),
        (Add((), ()), "0 inputs"),
        (Concat((0,), ()), "1 inputs with 0 multipliers"),
    ],
)
def test_what_does_not_fit_is_refused(layer, message):
    with pytest.raises(ProgramError, match=message):
        layer.infer([Value((2, 6, 6))])


def test_shapes_that_cannot_be_joined_are_refused():
    values = [Value((2, 6, 6)), Value((2, 6, 5))]
    with pytest.raises(ProgramError, match=r"cannot add shapes \(2, 6, 6\), \(2, 6, 5\)"):
        Add((0, 1), (1, 1)).infer(values)
    with pytest.raises(ProgramError, match=r"cannot concatenate shapes \(2, 6, 6\), \(2, 6, 5\)"):
        Concat((0, 1), (1, 1)).infer(values)
