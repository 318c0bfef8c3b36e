"""The tensors written for other tools are what the program computes with: torch gets the same results from them."""

from __future__ import annotations

import numpy as np
import pytest
import strategies
import torch
from hypothesis import HealthCheck, given, settings
from safetensors import safe_open
from safetensors.numpy import load_file

from horner.backends import reference
from horner.basis import Axis
from horner.errors import FileError
from horner.program.exchange import save_safetensors, to_tensors
from horner.program.integer import requantise
from horner.program.layers import Conv, Flatten, MaxPool, Output
from horner.program.program import Input, Program
from horner.program.weights import Positional, constant

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(strategies.programs(integer=True), strategies.generators())
def test_torch_computes_every_layer_from_the_integers(program, generator):
    tensors = to_tensors(program)
    images = strategies.images(program, generator)
    values = [images, *reference.trace(program, images)]
    for number, (name, layer) in enumerate(zip(program.names, program.layers, strict=True)):
        if not isinstance(layer, Conv):
            continue
        source = values[layer.source].astype(np.int64) - program.values[layer.source].zero_point
        shape = layer.weights.shape
        sums = torch.nn.functional.conv2d(
            torch.tensor(source),
            torch.tensor(tensors[f"{name}.weight"].astype(np.int64).reshape(shape)),
            None,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
        ).numpy()
        sums = sums + tensors.get(f"{name}.bias", np.zeros(shape[0], np.int64))[:, None, None]
        shift, zero_point, low, high = tensors[f"{name}.requantise"].tolist()
        multiplier = tensors[f"{name}.multiplier"][:, None, None]
        assert np.array_equal(requantise(sums, multiplier, shift, zero_point, low, high), values[number + 1])


def small(integer: bool = True) -> Program:
    bits = 8 if integer else 32
    kind = int if integer else np.float32
    weights = Positional(
        (Axis(2), Axis(1), Axis(2, degree=1), Axis(2)), np.arange(8).reshape(2, 1, 2, 2).astype(kind), bits
    )
    last = Positional((Axis(3), Axis(2), Axis(2), Axis(2)), np.arange(24).reshape(3, 2, 2, 2).astype(kind), bits)
    return Program(
        Input((1, 5, 5), 0.5, 3 if integer else 0, arithmetic="int8" if integer else "float32"),
        (
            Conv(0, weights, None, Output(constant(3, 2, bits), 4 if integer else 0), padding=(0, 0)),
            MaxPool(1, (2, 2), (2, 2)),
            Conv(2, last, constant(7, 3, bits), Output(constant(1, 3, bits))),
            Flatten(3),
        ),
        output_scale=0.25,
        head="softmax",
    )


@pytest.mark.parametrize("integer", [True, False])
def test_the_file_holds_the_tensors_and_the_graph(tmp_path, integer):
    path = tmp_path / "net.safetensors"
    size = save_safetensors(small(integer), path)
    assert path.stat().st_size == size
    found = load_file(path)
    wanted = to_tensors(small(integer))
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype
        assert np.array_equal(found[name], values)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["layers"].startswith(
        "conv1 Conv source=0 stride=1,1 padding=0,0 dilation=1,1 groups=1; pool1 MaxPool"
    )
    assert (metadata["head"], metadata["output_scale"], metadata["input"]) == ("softmax", "0.25", "1 5 5")


def test_integer_programs_give_integers_and_float_programs_floats():
    assert {t.dtype.name for t in to_tensors(small()).values()} == {"int32", "uint8"}
    assert {t.dtype.name for t in to_tensors(small(integer=False)).values()} == {"float32"}


def test_a_fully_connected_layer_has_the_shape_of_a_linear_one():
    tensors = to_tensors(small())
    assert tensors["conv1.weight"].shape == (2, 1, 2, 2)
    assert tensors["linear1.weight"].shape == (3, 8)
    assert tensors["linear1.bias"].tolist() == [7, 7, 7]
    assert "conv1.bias" not in tensors


def test_weights_too_large_to_write_out_are_refused():
    axes = (Axis(1 << 14, degree=0), Axis(1 << 15, degree=0), Axis(1), Axis(1))
    weights = Positional(axes, np.ones((1, 1, 1, 1), int), 2)
    layer = Conv(0, weights, None, Output(constant(1, 1 << 14, 2)))
    with pytest.raises(FileError, match="linear1: weights of shape"):
        to_tensors(Program(Input((1 << 15, 1, 1)), (layer,)))
