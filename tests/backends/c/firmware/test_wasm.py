import pytest
import wasmtime

from horner.backends import reference
from horner.backends.c.firmware.wasm import WebAssembly, build_module
from horner.backends.c.source import generate
from horner.backends.c.targets import target
from horner.errors import SimulationError

WASM = target("wasm32")


def test_the_module_imports_nothing_and_exports_what_a_page_needs(lenet):
    path = build_module(lenet, generate(lenet, "digits", "wasm32"), WASM)
    module = wasmtime.Module.from_file(wasmtime.Engine(), str(path))
    assert module.imports == []
    assert {"digits_init", "digits_run", "memory", "network_input", "network_output"} <= {
        e.name for e in module.exports
    }


def test_it_computes_what_the_reference_does_and_burns_the_same_fuel_for_the_same_image(lenet, images):
    machine = WebAssembly(build_module(lenet, generate(lenet, "digits", "wasm32"), WASM), "digits")
    inputs, expected = lenet.quantise(images), reference.run(lenet, images)
    fuel = []
    for number in (0, 1, 0):
        assert machine.run(inputs[number].tobytes(), 10) == expected[number].tobytes()
        fuel.append(machine.counts().total())
    assert fuel[0] == fuel[2] > 10_000


@pytest.fixture
def started(written):
    """Start a module whose body is written by hand."""

    def start(body: str) -> WebAssembly:
        program, source = written(f"void network_run(const int8_t *input, int8_t *output) {{ {body} }}\n")
        return WebAssembly(build_module(program, source, WASM), "network")

    return start


def test_the_stack_in_memory_is_seen(started):
    machine = started("volatile int8_t a[100]; a[input[0]] = input[1]; *output = a[input[0]];")
    assert machine.run(bytes([0, 9, 0, 0]), 4)[0] == 9
    assert 100 <= machine.stack <= 112


def test_a_trap_is_an_error(started):
    with pytest.raises(SimulationError, match="the WebAssembly module stopped"):
        started("*output = *input; __builtin_trap();").run(bytes(4), 4)
