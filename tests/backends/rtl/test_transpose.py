import numpy as np
from hypothesis import given
from strategies import generators, images, programs

from horner.backends.reference import run, trace
from horner.backends.rtl.transpose import transposed


@given(programs(integer=True), generators())
def test_transposed_images_give_transposed_maps(program, generator):
    inputs = images(program, generator)
    turned = transposed(program)
    if any(type(layer).__name__ == "Flatten" for layer in program.layers):
        return
    for one, other in zip(trace(program, inputs), trace(turned, inputs.swapaxes(2, 3)), strict=True):
        assert np.array_equal(one, other.swapaxes(2, 3))
    assert run(turned, inputs.swapaxes(2, 3)).shape[0] == len(inputs)
