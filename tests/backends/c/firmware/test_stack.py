import pytest

from horner.backends.c.firmware.chip import Chip
from horner.backends.c.firmware.elf import read
from horner.backends.c.firmware.image import EMULATED, build
from horner.backends.c.firmware.layers import Owners, owners_of_code
from horner.backends.c.firmware.stack import stack_bound
from horner.errors import CompileError

CHAIN = """
#define KEEP __attribute__((noinline))
static KEEP int leaf(volatile int8_t *p) { volatile int8_t big[100]; big[*p & 63] = 1; return big[3]; }
static KEEP int middle(volatile int8_t *p) { volatile int8_t some[40]; some[*p & 31] = 1; return leaf(p) + some[1]; }
static KEEP int other(volatile int8_t *p) { volatile int8_t few[8]; few[*p & 7] = 1; return few[1] + leaf(p); }
void network_run(const int8_t *input, int8_t *output)
{
    output[0] = (int8_t)(middle(output) + other(output) + input[0]);
}
"""
BODY = "void network_run(const int8_t *input, int8_t *output) {{ {} }}"


def parts(firmware):
    return read(firmware.path, "network.c")


@pytest.mark.parametrize("chip", EMULATED)
def test_the_longest_chain_counts(by_hand, chip):
    bound = stack_bound(parts(by_hand(CHAIN, chip)), "network_run")
    assert bound.chain == ("network_run", "middle", "leaf")
    assert 140 < bound.bytes < 240


@pytest.mark.parametrize("chip", EMULATED)
def test_what_cannot_be_bounded_is_refused(by_hand, chip):
    recursive = """__attribute__((noinline)) static int f(int n, volatile int8_t *p)
    {
        *p = 1;
        return n ? f(n - 1, p) + 3 * f(n - *p, p) : *p;
    }
    """
    pointer = "int (*volatile g)(int);\n"
    grows = "__attribute__((noinline)) static void use(volatile int8_t *p) { p[0] = 1; }\n"
    for text, says in (
        (recursive + BODY.format("output[0] = (int8_t)f(input[0], output);"), "f calls itself"),
        (pointer + BODY.format("output[0] = (int8_t)g(input[0]);"), "network_run calls through a pointer"),
        (
            grows + BODY.format("volatile int8_t n[input[0]]; use(n); output[0] = n[0];"),
            "the frame of network_run is not known",
        ),
    ):
        with pytest.raises(CompileError, match=says):
            stack_bound(parts(by_hand(text, chip)), "network_run")


@pytest.mark.parametrize("chip", EMULATED)
def test_frames_are_those_the_compiler_reports(lenet, chip):
    """The bound reads the debugging information; the compiler says the same in a section of its own."""
    from elftools.elf.elffile import ELFFile

    from horner.backends.c.compiler import ZIG, built
    from horner.backends.c.firmware import image as images

    made = build(lenet, chip)
    flags = (
        *made.target.flags,
        made.target.optimise,
        *images.FLAGS,
        *images.DEBUG,
        *images.LINK,
        "-fstack-size-section",
    )
    path = built(images.sources(lenet, made.source), ".elf", flags=flags, compiler=ZIG)
    image = read(path, "network.c")
    with path.open("rb") as file:
        raw = ELFFile(file).get_section_by_name(".stack_sizes").data()
    sizes = {}
    while raw:
        address, size, shift, raw = int.from_bytes(raw[:4], "little") & ~1, 0, 0, raw[4:]
        while True:
            size |= (raw[0] & 127) << shift
            more, shift, raw = raw[0] >> 7, shift + 7, raw[1:]
            if not more:
                break
        sizes[address] = size
    known = [f for f in image.functions if f.address in sizes]
    assert any(f.name == "network_run" for f in known)
    for function in known:
        assert max(image.frames[function.address].depths) == sizes[function.address], function.name


@pytest.mark.parametrize("chip", EMULATED)
def test_no_run_touches_more_than_the_bound(by_hand, chip):
    firmware = by_hand(CHAIN, chip)
    image = parts(firmware)
    machine = Chip(image, chip, owners_of_code(image, Owners("network", ())))
    machine.run(bytes(4), 4)
    bound = stack_bound(image, "network_run").bytes
    assert bound - 104 <= machine.stack <= bound, "of the leaf's array one byte is written"
