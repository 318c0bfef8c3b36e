import pytest

from horner.backends.c.firmware.elf import read
from horner.backends.c.firmware.footprint import footprint, footprint_of
from horner.backends.c.firmware.image import EMULATED, build
from horner.backends.c.targets import target


@pytest.mark.parametrize("chip", EMULATED)
def test_the_parts_are_the_whole(lenet, chip):
    firmware = build(lenet, chip)
    known, image = footprint(firmware), read(firmware.path, "network.c")
    assert known.flash == image.size(".text", ".rodata", ".data")
    assert known.code == image.size(".text")
    assert known.arena == image.size(".data", ".bss") >= firmware.source.arena_bytes
    assert known.ram == known.arena + known.stack.bytes
    assert (known.input, known.output) == (784, 10)
    layers = {layer.name: layer for layer in known.layers}
    assert list(layers) == [*lenet.names, "network_run", "shared"]
    assert all(layers[name].code and layers[name].constants for name in lenet.names if "pool" not in name)
    assert sum(layer.constants for layer in known.layers) == known.constants
    assert layers["shared"].constants < 64, "alignment"
    assert known.stack.chain[0] == "network_run"


def test_json_and_table_say_the_same(lenet):
    known = footprint_of(lenet, target("cortex-m0plus"))
    numbers = known.to_dict()
    assert numbers["flash"] == numbers["code"] + numbers["constants"] == known.flash
    assert numbers["stack"]["bytes"] + numbers["arena"] == numbers["ram"]
    title, table, lines = known.table().renderables
    assert title == "Flash and RAM on cortex-m0plus (-Os), in bytes"
    assert list(table.columns[-1].cells)[-1] == f"{known.flash:,}"
    assert f"RAM {known.ram:,} = arena {known.arena:,} + stack {known.stack.bytes:,}" in lines


def test_what_is_no_chip_has_none(lenet):
    assert footprint_of(lenet, target("generic")) is None
