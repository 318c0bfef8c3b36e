import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import chains, generators, images
from testbench import drive

from horner.backends.reference import run
from horner.backends.rtl.accelerator import Accelerator
from horner.backends.rtl.design import design
from horner.program.layers import Conv


@settings(max_examples=25, deadline=None)
@given(chains(), st.booleans(), st.integers(0, 2), st.integers(1, 4), generators())
def test_whatever_convolves_is_bit_exact(program, reuse, more, columns, generator):
    """Any kernel, stride, padding, plan and pooling, whatever holds the streams up, two images one after the other."""
    rows = max(layer.weights.shape[2] for layer in program.layers if isinstance(layer, Conv)) + more
    if any(
        layer.stride[i] > layer.weights.shape[i + 2] > 1
        for layer in program.layers
        if isinstance(layer, Conv)
        for i in (0, 1)
    ):
        return
    made = design(program, rows, columns, reuse)
    pictures = images(program, generator, 2)
    wanted = run(program, pictures)
    sent = pictures.swapaxes(2, 3) if made.turned else pictures
    pixels = sent.transpose(0, 2, 3, 1).reshape(-1).tolist()
    found = np.array(drive(Accelerator(made), {}, "pixels", pixels, "logits", wanted.size, generator, hold=0.1))
    channels, height, width = made.steps[-1].shape
    maps = found.reshape(2, height, width, channels).transpose(0, 3, 1, 2)
    maps = maps.swapaxes(2, 3) if made.turned else maps
    assert np.array_equal(maps.reshape(wanted.shape), wanted)
