import dataclasses
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import strategies
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from horner.backends import c, reference
from horner.backends.c import memory
from horner.backends.c import source as c_source
from horner.backends.c.compiler import find_compiler
from horner.basis import Axis
from horner.errors import FileError, ProgramError
from horner.program import file, schedule
from horner.program.bounds import accumulator
from horner.program.layers import Add, AveragePool, Concat, Conv, Flatten, MaxPool, Output, Value
from horner.program.program import Input, Program
from horner.program.schedule import DENSE, Schedule, plan
from horner.program.weights import Positional, Ranked, constant

# every example compiles many programs at once, and a failure says which: shrinking would take hours
BATCHES = settings(
    max_examples=2, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
GUARD, POISON = 64, 0x5A
TARGETS = ("generic", "cortex-m0plus", "cortex-m4")
"""One for each way of writing: plainly, small, and in words for instructions that multiply pairs."""


def batches(integer, number):
    return st.lists(strategies.programs(integer=integer, most_layers=4), min_size=number, max_size=number)


def random_conv(generator, number, source, axes, bits=6, **geometry):
    """A convolution of value `number`, whose outputs are neither all zero nor all saturated."""
    core = generator.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), [axis.coefficients for axis in axes])
    bias = Positional((Axis(axes[0].length),), generator.integers(-100, 100, axes[0].length), 8)
    output = Output(constant(23, axes[0].length, 8), 0, -128, -128, 127)
    conv = Conv(number, Positional(tuple(axes), core, bits), bias, output, **geometry)
    shift = (23 * accumulator(conv, source, DENSE)).bit_length() - 11
    return dataclasses.replace(conv, output=dataclasses.replace(output, shift=shift))


def grown(start, generator, *steps):
    """A program of layers, or of the axes, the number of the value read and the geometry of random convolutions."""
    values, layers = [Value(start.shape, start.zero_point)], []
    for step in steps:
        if isinstance(step, tuple):
            number, axes, geometry = step
            step = random_conv(generator, number, values[number], axes, **geometry)
        layers.append(step)
        values.append(step.infer([values[i] for i in step.inputs]))
    return Program(start, tuple(layers))


def lenet5(generator):
    k = Axis(5, degree=2)
    return grown(
        Input((1, 28, 28), 1 / 255, -100, True),
        generator,
        (0, (Axis(6, 2, 1), Axis(1), k, k), {"padding": (2, 2)}),
        MaxPool(1, (2, 2), (2, 2)),
        (2, (Axis(16, 4, 1), Axis(6, 2, 1), k, k), {}),
        MaxPool(3, (2, 2), (2, 2)),
        (4, (Axis(120, 30, 1), Axis(16, 4, 2), k, k), {}),
        (5, (Axis(84, 21, 1), Axis(120, 30, 1), Axis(1), Axis(1)), {}),
        (6, (Axis(10), Axis(84, 21, 1), Axis(1), Axis(1)), {}),
    )


def residual(generator):
    """A stem, a block with its input added, a branch of pooled channels, a mean and a classifier."""
    three = (Axis(3, degree=1), Axis(3, degree=1))
    return grown(
        Input((3, 12, 12), 0.02, 3),
        generator,
        (0, (Axis(8, 4, 1), Axis(3), *three), {"padding": (1, 1)}),
        (1, (Axis(8), Axis(1), *three), {"padding": (1, 1), "groups": 8}),
        (2, (Axis(8, 4, 2), Axis(8, 4, 1), Axis(1), Axis(1)), {}),
        Add((3, 1), (70, 90), 7, -5, -5, 127),
        MaxPool(4, (3, 3), (1, 1), (1, 1)),
        AveragePool(4, (3, 3), (1, 1), (1, 1), count_padding=False),
        Concat((4, 5, 6), (100, 101, 130), 7, -7),
        AveragePool(7, (4, 4), (4, 4)),
        Flatten(8),
        (9, (Axis(10, 5, 1), Axis(216, 9, 2), Axis(1), Axis(1)), {}),
    )


@BATCHES
@given(batches(True, 16), strategies.generators())
def test_integer_programs_equal_the_reference_bit_for_bit(build_all, programs, generator):
    for i, network in enumerate(build_all(programs, ["-O2"])):
        images = strategies.images(programs[i], generator)
        np.testing.assert_array_equal(network(images), reference.run(programs[i], images), f"program {i}")


@BATCHES
@given(batches(False, 10), strategies.generators())
def test_float_programs_agree_with_the_reference_to_rounding(build_all, programs, generator):
    for i, network in enumerate(build_all(programs)):
        images = strategies.images(programs[i], generator)
        expected = reference.run(programs[i], images)
        tolerance = 1e-4 * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(network(images), expected, rtol=0, atol=tolerance, err_msg=f"program {i}")


@BATCHES
@given(batches(True, 24), strategies.generators())
def test_nothing_is_undefined_and_no_layer_leaves_its_buffers(run_trapped, programs, generator):
    """Under traps for undefined behaviour, with poisoned memory between all buffers, as written for three targets."""
    images = [strategies.images(program, generator) for program in programs]
    for i, outputs in enumerate(run_trapped(programs, images)):
        np.testing.assert_array_equal(outputs, reference.run(programs[i], images[i]), f"program {i}")


@pytest.fixture
def run_trapped(tmp_path_factory, monkeypatch):
    arenas = []

    def spaced(buffers):
        offsets, end = [], GUARD
        for buffer in buffers:
            offsets.append(-(-end // 8) * 8)
            end = offsets[-1] + buffer.bytes + GUARD
        arenas.append(memory.Arena((*buffers, memory.Buffer(c_source.INT8, GUARD, 0, 0)), (*offsets, end)))
        return arenas[-1]

    def guarded(generated, arena):
        """The source, with functions that poison the arena and find what was written between its buffers."""
        taken = np.zeros(arena.bytes, bool)
        for buffer, offset in zip(arena.buffers[:-1], arena.offsets, strict=False):
            taken[offset : offset + buffer.bytes] = True
        free = ", ".join(map(str, np.flatnonzero(~taken)))
        return (
            "#include <string.h>\n"
            + generated.source
            + f"""
void {generated.name}_poison(void);
void {generated.name}_poison(void) {{ memset(&arena, {POISON}, sizeof arena); }}
int {generated.name}_intact(void);
int {generated.name}_intact(void)
{{
    static const uint32_t unused[] = {{{free}}};
    const unsigned char *const bytes = (const unsigned char *)&arena;
    for (uint32_t i = 0; i < sizeof unused / sizeof *unused; ++i) {{
        if (bytes[unused[i]] != {POISON}) {{
            return 0;
        }}
    }}
    return 1;
}}
"""
        )

    def run(programs, images):
        monkeypatch.setattr(c_source, "place", spaced)
        arenas.clear()
        folder = tmp_path_factory.mktemp("trapped")
        main = ["#include <stdio.h>", "static int8_t input[1 << 20], output[1 << 20];", "int main(void)", "{"]
        for i, program in enumerate(programs):
            generated = c.generate(program, f"n{i}", TARGETS[i % len(TARGETS)])
            (folder / f"n{i}.h").write_text(generated.header)
            (folder / f"n{i}.c").write_text(guarded(generated, arenas[-1]))
            main.insert(0, f'#include "n{i}.h"\nvoid n{i}_poison(void);\nint n{i}_intact(void);')
            main += [
                f"for (int i = 0; i < {len(images[i])}; ++i) {{",
                f"if (fread(input, {program.values[0].size}, 1, stdin) != 1) return 1;",
                f"n{i}_poison(); n{i}_run(input, output); if (!n{i}_intact()) return {i} + 2;",
                f"fwrite(output, {program.output.size}, 1, stdout);",
                "}",
            ]
        (folder / "main.c").write_text("\n".join([*main, "return 0;", "}", ""]))
        flags = ["-std=c99", "-O0", "-fsanitize=undefined", "-fsanitize-trap=undefined", "-Wall", "-Werror"]
        sources = [str(folder / f"n{i}.c") for i in range(len(programs))]
        find_compiler().run([*flags, *sources, str(folder / "main.c"), "-o", str(folder / "main")], folder, folder)
        data = b"".join(image.tobytes() for image in images)
        done = subprocess.run([folder / "main"], input=data, capture_output=True, check=False)
        assert done.returncode == 0, f"exit status {done.returncode}: a trap if negative, else program number + 2"
        results = np.frombuffer(done.stdout, np.int8)
        for program, image in zip(programs, images, strict=True):
            size = len(image) * program.output.size
            values, results = results[:size].reshape(len(image), *program.output.shape), results[size:]
            yield values[:, :, 0, 0] if program.output.shape[1:] == (1, 1) else values
        assert results.size == 0

    return run


def test_lenet5_on_a_thousand_images():
    generator = np.random.default_rng(0)
    program = lenet5(generator)
    network = c.compile(program)
    images = generator.integers(0, 256, (1000, 1, 28, 28), np.uint8)
    outputs = network(images)
    np.testing.assert_array_equal(outputs, reference.run(program, images))
    assert len(np.unique(outputs)) > 10


def test_sums_with_residuals_and_concatenations():
    generator = np.random.default_rng(1)
    program = residual(generator)
    images = generator.integers(-128, 128, (20, 3, 12, 12), np.int8)
    outputs = c.compile(program)(images)
    np.testing.assert_array_equal(outputs, reference.run(program, images))
    assert len(np.unique(outputs)) > 10


@pytest.mark.parametrize("per_filter", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("level_bits", [1, 3, 8])
def test_ranked_weights_summed_by_level(build_all, per_filter, zero, level_bits):
    generator = np.random.default_rng(level_bits)
    shape = (6, 2 << level_bits, 3, 3)
    levels = generator.integers(0, 1 << level_bits, shape, np.uint8)
    families = min(3, (1 << level_bits) - zero)
    curve = generator.integers(-8, 8, (6 if per_filter else 1, families))
    weights = Ranked(levels, level_bits, 2, zero, curve, 4)
    conv = Conv(0, weights, None, Output(constant(1, 6, 2), 16, 3), (1, 1), (1, 1), groups=2)
    program = Program(Input((4 << level_bits, 5, 4)), (conv,))
    if level_bits < 8:
        assert plan(conv, program.values[0], program.values[1]) == Schedule(by_level=True)
    images = strategies.images(program, generator)
    np.testing.assert_array_equal(build_all([program])[0](images), reference.run(program, images))


@pytest.mark.parametrize("nodes", ["index", "pow2"])
def test_every_schedule_whatever_the_planner_would_choose(run_trapped, monkeypatch, nodes):
    """Each axis has whole segments and a shorter last one."""
    generator = np.random.default_rng(5)
    axes = (Axis(11, 4, 2, nodes), Axis(7, 5, 2, nodes), Axis(5, 4, 1, nodes), Axis(6, 4, 2, nodes))
    geometry = {"stride": (2, 1), "padding": (3, 2), "dilation": (1, 2)}
    source = Value((7, 9, 12), -100)
    convs = [random_conv(generator, 0, source, axes, **geometry) for _ in range(16)]
    schedules = dict(zip(convs, schedule.possible(convs[0]), strict=True))
    for module in ("horner.backends.c.layers.conv", "horner.backends.reference"):
        monkeypatch.setattr(f"{module}.plan", lambda conv, *_: schedules[conv])
    convs = [conv for conv in convs for _ in TARGETS]  # each conv as written for each target
    programs = [Program(Input(source.shape, 1.0, source.zero_point), (conv,)) for conv in convs]
    images = [strategies.images(program, generator) for program in programs]
    for i, outputs in enumerate(run_trapped(programs, images)):
        assert f"sums reused: {schedules[convs[i]]}\n" in c.generate(programs[i]).source
        np.testing.assert_array_equal(outputs, reference.run(programs[i], images[i], "dense"))


def test_sums_that_need_int64_get_it(build_all):
    generator = np.random.default_rng(2)
    axes = (Axis(4, 4, 2), Axis(64, 64, 2), Axis(1), Axis(1))
    program = grown(Input((64, 1, 1)), generator, (0, axes, {"bits": 16}))
    assert "sums in int64_t" in c.generate(program).source
    images = strategies.images(program, generator, 50)
    for target in TARGETS:
        outputs = build_all([program], target=target)[0](images)
        np.testing.assert_array_equal(outputs, reference.run(program, images))
    assert len(np.unique(outputs)) > 10


@pytest.mark.parametrize("target", TARGETS)
def test_sums_wrap_where_the_last_one_fits_32_bits(build_all, target):
    trained = file.load(Path(__file__).parents[2] / "data" / "lenet5.horner")
    conv, source = trained.layers[4], trained.values[4]
    program = Program(Input(source.shape, 1.0, source.zero_point), (dataclasses.replace(conv, source=0),))
    scheduled = plan(conv, source, program.values[1])
    assert accumulator(conv, source, DENSE) < 2**31 < 2**36 < accumulator(conv, source, scheduled)
    assert "sums in int32_t" in c.generate(program, target=target).source
    generator = np.random.default_rng(8)
    images = generator.choice(np.array([-128, 127], np.int8), (200, *source.shape))
    outputs = build_all([program], target=target)[0](images)
    np.testing.assert_array_equal(outputs, reference.run(program, images))
    assert len(np.unique(outputs)) > 100


def test_the_largest_sums_are_rescaled_after_a_pool(build_all):
    """Where multipliers are not negative; else what was rescaled is compared."""
    generator = np.random.default_rng(6)
    axes = (Axis(6, 3, 1), Axis(2), Axis(3), Axis(3, degree=1))
    pools = MaxPool(1, (2, 3), (2, 3)), MaxPool(1, (2, 2), (1, 1)), MaxPool(1, (2, 2), (2, 2), (1, 1))
    programs = [grown(Input((2, 9, 11), 1.0, 7), generator, (0, axes, {"padding": (1, 0)}), pool) for pool in pools]
    conv = programs[0].layers[0]
    negative = Positional((Axis(6),), np.array([9, -9, 5, 1, 0, 3]), 8)
    conv = dataclasses.replace(conv, output=dataclasses.replace(conv.output, multiplier=negative))
    programs.append(Program(programs[0].input, (conv, pools[0])))
    fused = [" are kept\n" in c.generate(program).source for program in programs]
    assert fused == [True, False, False, False]
    for target in TARGETS:
        for program, compiled in zip(programs, build_all(programs, target=target), strict=True):
            images = strategies.images(program, generator, 5)
            np.testing.assert_array_equal(compiled(images), reference.run(program, images))


def test_windows_that_see_only_padding(build_all):
    generator = np.random.default_rng(9)
    geometry = {"padding": (1, 1), "stride": (3, 3)}
    pool = MaxPool(0, (1, 1), (1, 1))
    program = grown(Input((1, 1, 1), 1.0, 5), generator, pool, (1, (Axis(2), Axis(1), Axis(1), Axis(1)), geometry))
    images = strategies.images(program, generator)
    for target in TARGETS:
        outputs = build_all([program], target=target)[0](images)
        np.testing.assert_array_equal(outputs, reference.run(program, images))


def test_a_program_that_only_flattens_copies(build_all):
    program = Program(Input((2, 3, 4)), (Flatten(0), Flatten(1)))
    images = np.arange(24, dtype=np.int8).reshape(1, 2, 3, 4)
    assert build_all([program])[0](images).tolist() == [list(range(24))]


def test_a_long_polynomial_bias_is_stored_and_spread(build_all):
    generator = np.random.default_rng(3)
    axes = (Axis(120, 30, 1), Axis(8), Axis(1), Axis(1))
    bias = Positional((Axis(120, 60, 2),), generator.integers(-50, 50, 6), 8)
    conv = dataclasses.replace(random_conv(generator, 0, Value((8, 1, 1)), axes), bias=bias)
    program = Program(Input((8, 1, 1)), (conv,))
    assert "linear1_bias_expand" in c.generate(program).source
    images = strategies.images(program, generator)
    np.testing.assert_array_equal(build_all([program])[0](images), reference.run(program, images))


def test_the_source_is_self_contained_and_says_what_it_takes():
    generated = c.generate(lenet5(np.random.default_rng(0)), "digits")
    includes = set(re.findall(r"#include (\S+)", generated.source + generated.header))
    assert includes == {'"digits.h"', "<stdint.h>"}
    assert "malloc" not in generated.source
    globals_ = re.findall(r"^static (?!const|inline|void|HORNER_NOINLINE)(\w+)", generated.source, re.MULTILINE)
    assert globals_ == ["union"], "nothing writable but the arena"
    tables = re.findall(r"^static const u?int(\d+)_t \w+\[(\d+)\]", generated.source, re.MULTILINE)
    assert generated.constant_bytes == sum(int(bits) // 8 * int(length) for bits, length in tables) > 1000
    assert f"#define DIGITS_ARENA_BYTES {generated.arena_bytes} " in generated.header
    assert "sums reused: out row col" in generated.source
    assert "43200 multiplications, 68960 additions, 1600 requantisations" in generated.source


@pytest.mark.parametrize("name", ["", "1net", "a-b", "net work", "naïve"])
def test_a_name_must_be_a_c_identifier(name):
    with pytest.raises(ProgramError, match="letters, digits and underscores"):
        c.generate(lenet5(np.random.default_rng(0)), name)


@pytest.mark.parametrize("integer", [True, False])
def test_the_written_example_classifies_what_it_reads(tmp_path, integer):
    generator = np.random.default_rng(4)
    program = lenet5(generator)
    if not integer:
        conv = program.layers[0]
        weights = Positional(conv.weights.axes, conv.weights.core.astype(np.float32), 32)
        layers = dataclasses.replace(
            conv, weights=weights, bias=None, output=Output(constant(1.0, 6, 32), 0, 0, 0, 6e9)
        )
        program = Program(Input((1, 28, 28), arithmetic="float32"), (layers, MaxPool(1, (28, 28), (1, 1))))
    paths = c.write(program, tmp_path / "out", "digits")
    assert [path.name for path in paths] == ["digits.c", "digits.h", "example.c"]
    binary = tmp_path / "example"
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror"]
    find_compiler().run([*flags, str(paths[0]), str(paths[2]), "-o", str(binary)], tmp_path, tmp_path)
    images = strategies.images(program, generator, 20)
    printed = subprocess.run([binary], input=images.tobytes(), capture_output=True, check=True).stdout
    classes = reference.run(program, images).argmax(1)
    assert printed.split() == [str(i).encode() for i in classes]


def test_nothing_is_written_over_a_file_that_is_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot write"):
        c.write(lenet5(np.random.default_rng(0)), tmp_path / "file")
    with pytest.raises(ProgramError, match="example"):
        c.write(lenet5(np.random.default_rng(0)), tmp_path, "example")
