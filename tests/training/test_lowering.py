import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from horner.training import lowering
from horner.training.lowering import lowered_conv2d

CPU = torch.device("cpu")
bfloat16 = pytest.mark.usefixtures("amx")


@pytest.fixture
def amx(monkeypatch):
    """Lower on every machine: what it computes does not depend on the machine, only whether it is faster."""
    monkeypatch.setattr(lowering, "has_amx", lambda: True)


@pytest.fixture
def lowered(monkeypatch):
    """The shapes of weights whose convolutions were lowered."""
    shapes = []

    def counted(x, weight, padding):
        shapes.append(tuple(weight.shape))
        return lowered_conv2d(x, weight, padding)

    monkeypatch.setattr(lowering, "lowered_conv2d", counted)
    return shapes


def mixed(run):
    """Return a result under autocast, and the same with small maps lowered."""
    with torch.autocast("cpu", torch.bfloat16):
        native = run()
        with lowering.lowering(CPU):
            return native, run()


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 3), channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)), window=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    data=st.data(), last=st.booleans(),
)  # fmt: skip
def test_lowered_is_the_same_function_with_the_same_gradients(n, channels, size, window, data, last):
    padding = tuple(
        data.draw(st.integers(max(0, -(-(wide - side) // 2)), wide - 1)) if wide > side else
        data.draw(st.integers(0, wide - 1)) for side, wide in zip(size, window, strict=True)
    )  # fmt: skip
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(n, channels[0], *size, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(channels[1], channels[0], *window, dtype=torch.float64, requires_grad=True)
    here, there = lowered_conv2d(x, weight, padding), F.conv2d(x, weight, padding=padding)
    assert here.shape == there.shape
    torch.testing.assert_close(here, there)
    grad = torch.randn_like(there)
    for ours, theirs in zip(
        torch.autograd.grad(here, (x, weight), grad), torch.autograd.grad(there, (x, weight), grad), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@bfloat16
def test_in_bfloat16_results_are_as_near_to_float32_as_those_of_torch():
    layer, x = nn.Conv2d(128, 96, 3, padding=1), torch.randn(32, 128, 4, 4, requires_grad=True)
    exact = layer(x)
    grad = torch.randn_like(exact)

    def distance(y):
        parts = [y, *torch.autograd.grad(y, (x, *layer.parameters()), grad.to(y.dtype))]
        truth = [exact, *torch.autograd.grad(exact, (x, *layer.parameters()), grad, retain_graph=True)]
        return [float((a.float() - b).norm().detach() / b.norm().detach()) for a, b in zip(parts, truth, strict=True)]

    native, ours = map(distance, mixed(lambda: layer(x)))
    for there, here in zip(native, ours, strict=True):
        assert 0 < here < 1.5 * there < 0.02


@bfloat16
@pytest.mark.parametrize(
    ("layer", "size", "expected"),
    [
        (nn.Conv2d(128, 8, 3, padding=1), 4, True),
        (nn.Conv2d(128, 8, 3, padding=1, bias=False), 2, True),
        (nn.Conv2d(128, 8, 3), 6, True),
        (nn.Conv2d(128, 8, (1, 3), padding=(0, 1)), 4, True),
        (nn.Conv2d(128, 8, 3, padding=1), 5, False),
        (nn.Conv2d(127, 8, 3, padding=1), 4, False),
        (nn.Conv2d(128, 8, 1), 4, False),
        (nn.Conv2d(128, 8, 3, padding=3), 1, False),
        (nn.Conv2d(128, 8, 3, padding=1, stride=2), 4, False),
        (nn.Conv2d(128, 8, 3, padding=2, dilation=2), 4, False),
        (nn.Conv2d(128, 8, 3, padding=1, groups=2), 4, False),
        (nn.Conv2d(128, 8, 3, padding="same"), 4, False),
    ],
)
def test_what_is_lowered(layer, size, expected, lowered):
    x = torch.randn(2, layer.in_channels, size, size)
    native, ours = mixed(lambda: layer(x))
    assert lowered == [tuple(layer.weight.shape)] * expected
    assert ours.dtype == native.dtype == torch.bfloat16
    assert ours.shape == native.shape
    torch.testing.assert_close(ours, native, atol=0.03, rtol=0.03)


@bfloat16
def test_only_what_autocast_has_in_bfloat16_is_lowered(lowered):
    layer, x = nn.Conv2d(128, 8, 3), torch.randn(2, 128, 4, 4)
    with lowering.lowering(CPU):
        assert layer(x).dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16):
            with torch.autocast("cpu", enabled=False):
                assert layer(x).dtype == torch.float32
            double = copy.deepcopy(layer).double()
            with torch.autocast("cpu", enabled=False):
                assert double(x.double()).dtype == torch.float64
            assert not lowered
            layer(x)
    assert len(lowered) == 1


def test_other_processors_and_devices_keep_their_kernels(monkeypatch, lowered):
    layer, x = nn.Conv2d(128, 8, 3), torch.randn(2, 128, 4, 4)
    for device, amx in ((torch.device("meta"), True), (CPU, False)):
        monkeypatch.setattr(lowering, "has_amx", lambda amx=amx: amx)
        with torch.autocast("cpu", torch.bfloat16), lowering.lowering(device):
            layer(x)
    assert not lowered
