"""Vectorised C equals the reference bit for bit, however it is done and on every instruction set of this machine."""

import ctypes
import dataclasses
import mmap

import numpy as np
import pytest
import strategies
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from horner.backends import c, reference
from horner.backends.c.compiled import FLAGS
from horner.backends.c.compiler import find_compiler, shared_library
from horner.backends.c.host.cost import choices, choose, cost
from horner.backends.c.host.isa import ISAS, available
from horner.backends.c.host.parts import aligned
from horner.backends.c.host.source import generate
from horner.basis import Axis
from horner.program.bounds import accumulator
from horner.program.layers import Conv, Flatten, MaxPool, Output, Value
from horner.program.program import Input, Program
from horner.program.schedule import DENSE
from horner.program.weights import Positional, constant, terms

# every example compiles many programs at once, and a failure says which: shrinking would take hours
BATCHES = settings(
    max_examples=2, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
STRICT = ("-Werror", "-Wshadow")
GUARD, POISON = 256, 0x5A
WAYS = 6
"""That a layer is done in, of up to 32."""


@pytest.fixture(scope="module", params=[isa.name for isa in available()])
def isa(request):
    return ISAS[request.param]


def walled(array):
    """A copy that ends where memory ends: to read beyond it is a segmentation fault."""
    size = -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = np.frombuffer(mmap.mmap(-1, size + mmap.PAGESIZE), np.uint8)
    wall = ctypes.c_void_p(memory.ctypes.data + size)
    assert ctypes.CDLL(None).mprotect(wall, ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    copy = memory[size - array.nbytes : size].view(array.dtype).reshape(array.shape)
    copy[:] = array
    return copy


def run_all(programs, images, isa, select=choose):
    """Compile many programs into one library; run each in poisoned memory that is guarded at its end."""
    sources = [generate(program, isa, select) for program in programs]
    files = {f"n{i}.c": s.text.replace("horner_run", f"run{i}") for i, s in enumerate(sources)}
    flags = ["-O1" if flag == "-O3" else flag for flag in FLAGS]
    library = ctypes.CDLL(str(shared_library(files, flags=[*flags, *STRICT, *isa.zig])))
    for i, (program, source, batch) in enumerate(zip(programs, sources, images, strict=True)):
        arena = aligned(source.arena_bytes + GUARD)
        arena[:] = POISON
        outputs = np.empty((len(batch), *program.output.shape), batch.dtype)
        images = walled(batch)
        addresses = [array.ctypes.data for array in (source.constants, arena, images, outputs)]
        arguments = np.array([*addresses, len(batch)], np.int64)
        getattr(library, f"run{i}")(ctypes.c_void_p(arguments.ctypes.data))
        assert (arena[source.arena_bytes :] == POISON).all(), f"program {i} left its arena"
        yield outputs, source


def in_turn(ways):
    queue = iter(ways)
    return lambda *_: next(queue)


def check(programs, images, isa, select=choose):
    found = []
    for i, (outputs, source) in enumerate(run_all(programs, images, isa, select)):
        expected = reference.run(programs[i], images[i]).reshape(outputs.shape)
        how = f"program {i}: " + ", ".join(
            f"{n} {w.schedule} {w.operand.name} {w.kernel}" for n, w in source.works.items()
        )
        if programs[i].integer:
            np.testing.assert_array_equal(outputs, expected, how)
        else:
            tolerance = 1e-4 * max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(outputs, expected, rtol=0, atol=tolerance, err_msg=how)
        found += source.works.values()
    return found


@BATCHES
@given(st.lists(strategies.programs(most_layers=4, channels=9), min_size=12, max_size=12), strategies.generators())
def test_random_programs_done_in_random_ways(isa, programs, generator):
    images = [strategies.images(program, generator) for program in programs]

    def select(*arguments):
        return generator.choice(np.array([*choices(*arguments)], object))

    check(programs, images, isa, select)


def random_conv(generator, number, source, axes, bits=6, shift=0, **geometry):
    core = generator.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), [axis.coefficients for axis in axes])
    weights = Positional(tuple(axes), core, bits, np.full([terms(axis) for axis in axes], shift))
    filters = axes[0].length
    bias = Positional((Axis(filters),), generator.integers(-100, 100, filters), 8)
    multiplier = Positional((Axis(filters),), generator.integers(17, 32, filters), 8)
    conv = Conv(number, weights, bias, Output(multiplier, 0, -128, -128, 127), **geometry)
    shift = (31 * accumulator(conv, source, DENSE)).bit_length() - 11
    return dataclasses.replace(conv, output=dataclasses.replace(conv.output, shift=max(shift, 0)))


def single(generator, shape, axes, pool=None, zero=-100, **geometry):
    conv = random_conv(generator, 0, Value(shape, zero), axes, **geometry)
    return Program(Input(shape, 1.0, zero), (conv, *([MaxPool(1, pool, pool)] if pool else [])))


def test_windows_may_see_nothing_but_padding(isa):
    generator = np.random.default_rng(3)
    program = single(
        generator, (3, 2, 2), (Axis(5), Axis(3), Axis(1), Axis(2, degree=1)), stride=(9, 9), padding=(3, 4)
    )
    assert program.output.shape == (5, 1, 1)
    ways = [*choices(program.layers[0], *program.values, None, isa)]
    images = strategies.images(program, generator)
    check([program] * len(ways), [images] * len(ways), isa, in_turn(ways))


def test_every_way_to_do_a_layer(isa):
    """All schedules, operands and kernels, with whole segments and a shorter last one, pooled and not."""
    generator = np.random.default_rng(5)
    shapes = [
        single(
            generator,
            (7, 9, 12),
            (Axis(11, 4, 2, nodes), Axis(7, 5, 2, nodes), Axis(5, 4, 1, nodes), Axis(6, 4, 2, nodes)),
            pool,
            stride=(2, 1),
            padding=(3, 2),
            dilation=(1, 2),
        )
        for nodes in ("index", "pow2")
        for pool in (None, (2, 2))
    ]
    shapes += [
        single(generator, (8, 13, 13), (Axis(24, 4, 1), Axis(8, 4, 1), Axis(3), Axis(3)), (2, 1), padding=(1, 1)),
        single(
            generator,
            (1, 28, 28),
            (Axis(6, 2, 1), Axis(1), Axis(5, degree=2), Axis(5, degree=2)),
            (2, 2),
            padding=(2, 2),
        ),
        single(generator, (3, 10, 9), (Axis(20, 8, 1), Axis(3), Axis(3), Axis(3)), (1, 2), padding=(1, 1), bits=4),
        single(generator, (12, 6, 6), (Axis(8, 2, 1), Axis(6, 3, 1), Axis(3), Axis(2, degree=1)), groups=2),
        single(generator, (6, 5, 5), (Axis(70, 35, 1), Axis(6, 3, 2), Axis(5, degree=2), Axis(5, degree=1))),
        single(generator, (40, 1, 1), (Axis(19), Axis(40, 20, 1), Axis(1), Axis(1))),
    ]
    done = set()
    for program in shapes:
        conv, pool = program.layers[0], program.layers[1] if len(program.layers) > 1 else None
        ways = [*choices(conv, program.values[0], program.values[1], pool, isa)]
        kinds = {(w.kernel, w.operand.name): i for i, w in enumerate(ways)}  # one of each at least
        rest = [i for i in generator.permutation(len(ways)) if i not in kinds.values()]
        ways = [ways[i] for i in [*kinds.values(), *rest][:WAYS]]
        images = strategies.images(program, generator, 2)
        works = check([program] * len(ways), [images] * len(ways), isa, in_turn(ways))
        done |= {(w.kernel, w.operand.name, w.pool is not None) for w in works}
    operands = ["i16", *(["u8"] if isa.byte_products else [])]
    assert done >= {("positions", o, p) for o in operands for p in (False, True)}
    assert done >= {("filters", o, False) for o in operands}


DEEP = (Axis(6, 6, 2), Axis(64, 64, 2), Axis(5, 5, 2), Axis(5, 5, 2))


@pytest.mark.parametrize(
    ("axes", "shift", "kernels"),
    [
        pytest.param(DEEP, 0, {"positions", "filters"}, id="doubles"),
        pytest.param(tuple(Axis(axis.length) for axis in DEEP), 24, {"wide"}, id="one by one"),
    ],
)
def test_sums_beyond_32_bits(isa, axes, shift, kernels):
    """In doubles while those are exact, one by one in 64 bits beyond."""
    generator = np.random.default_rng(2)
    program = single(generator, (64, 8, 8), axes, padding=(1, 0), bits=16, shift=shift)
    ways = [*choices(program.layers[0], *program.values, None, isa)]
    assert {way.kernel for way in ways} == kernels
    assert {way.operand.name for way in ways} == {"f64"}
    images = strategies.images(program, generator, 2)
    check([program] * len(ways), [images] * len(ways), isa, in_turn(ways))
    assert len(np.unique(reference.run(program, images))) > 10


@pytest.mark.parametrize("shift", [0, 9, 24, 40])
@pytest.mark.parametrize("zero", [-128, 3, 127])
def test_every_form_of_requantisation(isa, shift, zero):
    generator = np.random.default_rng(shift)
    axes = (Axis(9), Axis(4), Axis(1), Axis(1))
    base = random_conv(generator, 0, Value((4, 6, 6), -128), axes, bits=8)
    scale = max(1, (1 << shift) // 900)
    programs = []
    for sign in (1, -1):
        values = np.minimum(generator.integers(scale, 2 * scale + 1, 9), 32767) * sign
        output = Output(
            Positional((Axis(9),), values, 16), min(shift, 26), zero, *((-128, 127) if sign > 0 else (zero, 127))
        )
        programs.append(Program(Input((4, 6, 6), 1.0, -128), (dataclasses.replace(base, output=output),)))
    check(programs, [strategies.images(program, generator) for program in programs], isa)


def test_halves_are_rounded_away_from_zero(isa):
    conv = Conv(
        0,
        Positional((Axis(1), Axis(1), Axis(1), Axis(1)), np.array([1]).reshape(1, 1, 1, 1), 2),
        None,
        Output(constant(1, 1, 2), 1, 0, -128, 127),
    )
    program = Program(Input((1, 16, 16)), (conv,))
    images = np.arange(-128, 128).astype(np.int8).reshape(1, 1, 16, 16)
    check([program], [images], isa)


def test_a_program_that_only_flattens_copies(isa):
    program = Program(Input((2, 3, 4)), (Flatten(0), Flatten(1)))
    images = np.arange(24, dtype=np.int8).reshape(1, 2, 3, 4)
    ((outputs, _),) = run_all([program], [images], isa)
    assert outputs.ravel().tolist() == list(range(24))


def test_what_is_returned_need_not_be_what_is_made_last(isa):
    program = Program(
        Input((2, 6, 6)),
        (MaxPool(0, (2, 2), (2, 2)), MaxPool(0, (3, 3), (1, 1)), MaxPool(2, (2, 2), (1, 1)), Flatten(1)),
    )
    check([program], [strategies.images(program, np.random.default_rng(0))], isa)


def test_arm_code_compiles(tmp_path):
    generator = np.random.default_rng(0)
    program = single(generator, (8, 13, 13), (Axis(24, 4, 1), Axis(8, 4, 1), Axis(3), Axis(3)), (2, 2), padding=(1, 1))
    (tmp_path / "network.c").write_text(generate(program, ISAS["neon"]).text)
    flags = ["-target", "aarch64-linux-musl", *FLAGS, *STRICT, *ISAS["neon"].zig]
    find_compiler().run([*flags, str(tmp_path / "network.c"), "-o", str(tmp_path / "network.so")], tmp_path, tmp_path)
    assert (tmp_path / "network.so").read_bytes()[18:20] == b"\xb7\x00", "an ELF for AArch64"


def test_the_planner_is_never_worse_than_its_own_estimate_of_dense():
    generator = np.random.default_rng(1)
    program = single(
        generator, (16, 12, 12), (Axis(16, 2, 1), Axis(16, 2, 1), Axis(3, degree=1), Axis(3)), padding=(1, 1)
    )
    network = c.compile(program)
    work = network.source.works["conv1"]
    dense = [w for w in choices(work.conv, work.source, work.result, None, work.isa) if not w.schedule.reused]
    assert cost(work) <= min(map(cost, dense))
