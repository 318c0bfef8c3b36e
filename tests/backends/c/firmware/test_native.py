from horner.backends import reference
from horner.backends.c.firmware.native import Native
from horner.backends.c.source import generate


def test_the_portable_c_gives_the_reference_and_counts_nothing(lenet, images):
    machine = Native(generate(lenet, "digits"))
    inputs, expected = lenet.quantise(images), reference.run(lenet, images)
    assert [machine.run(image.tobytes(), 10) for image in inputs] == [output.tobytes() for output in expected]
    assert machine.stack is None
    assert not machine.counts()
