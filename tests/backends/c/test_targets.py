import pytest

from horner.backends.c.compiler import find_compiler
from horner.backends.c.targets import TARGETS, target
from horner.errors import CompileError


@pytest.mark.parametrize("name", TARGETS)
def test_zig_knows_the_machine(name, tmp_path):
    found = target(name)
    (tmp_path / "a.c").write_text(
        "#include <stdint.h>\nint32_t f(int32_t x);\nint32_t f(int32_t x) { return x + 1; }\n"
    )
    flags = ["-std=c99", found.optimise, *found.flags, "-Werror", "-c", str(tmp_path / "a.c")]
    find_compiler().run([*flags, "-o", str(tmp_path / "a.o")], tmp_path, tmp_path)
    assert (tmp_path / "a.o").stat().st_size > 0


def test_another_name_is_refused_with_those_that_are_known():
    with pytest.raises(
        CompileError, match=r"cortex-m7.*cortex-m0plus, cortex-m4, cortex-m33, rv32imc, wasm32, generic"
    ):
        target("cortex-m7")
