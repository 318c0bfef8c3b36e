import shutil
import subprocess
import sys

import pytest

from horner.backends import reference
from horner.backends.c.compiler import ZIG, ZIG_CXX
from horner.backends.c.firmware.layout import write_layout
from horner.errors import ProgramError

ARDUINO = """#pragma once
#include <stddef.h>
#include <stdio.h>
struct Port {
    void begin(long) {}
    size_t readBytes(char *to, size_t n) { return fread(to, 1, n, stdin); }
    void println(int n) { printf("%d\\n", n); }
};
static Port Serial;
"""
MAIN = """#include "Arduino.h"
#include "Classify.ino"
int main() { setup(); for (int i = 0; i < 2; ++i) { loop(); } }
"""


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, check=False, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
def cc(tmp_path_factory):
    """This machine's compiler; zig's where it has none, which first builds the libraries of a host."""
    if found := shutil.which("cc"):
        return found
    script = tmp_path_factory.mktemp("tools") / "cc"
    script.write_text(f'#!/bin/sh\nexec {" ".join(ZIG)} "$@"\n')
    script.chmod(0o755)
    return str(script)


def test_cmake_builds_the_library_and_its_example(lenet, images, cc, tmp_path):
    written = write_layout(lenet, tmp_path, "digits", layout="cmake")
    assert {path.name for path in written} == {"digits.c", "digits.h", "example.c", "CMakeLists.txt"}
    build, cmake = tmp_path / "build", (sys.executable, "-m", "cmake")
    run(*cmake, "-S", tmp_path, "-B", build, f"-DCMAKE_C_COMPILER={cc}", "-DCMAKE_BUILD_TYPE=Release")
    run(*cmake, "--build", build)
    said = run(build / "digits_example", input=lenet.quantise(images).tobytes())
    assert [int(line) for line in said.split()] == reference.run(lenet, images).argmax(1).tolist()


def test_the_arduino_sketch_classifies_what_comes_over_the_serial_port(lenet, images, cc, tmp_path):
    written = write_layout(lenet, tmp_path, "digits", layout="arduino")
    names = {str(path.relative_to(tmp_path)) for path in written}
    assert names == {"src/digits.c", "src/digits.h", "library.properties", "examples/Classify/Classify.ino"}
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} == names
    properties = dict(line.split("=", 1) for line in (tmp_path / "library.properties").read_text().splitlines())
    assert {"name", "version", "author", "sentence", "architectures", "includes"} <= set(properties)
    sketch = tmp_path / "examples" / "Classify"
    (sketch / "Arduino.h").write_text(ARDUINO)
    (sketch / "main.cpp").write_text(MAIN)
    run(cc, "-O2", "-c", tmp_path / "src/digits.c", "-o", sketch / "digits.o")
    bare = ("-fPIC", "-nostdinc++", "-fno-exceptions", f"-I{tmp_path / 'src'}")  # a microcontroller's C++
    run(*ZIG_CXX, "-O2", *bare, "-c", sketch / "main.cpp", "-o", sketch / "main.o")
    run(cc, sketch / "main.o", sketch / "digits.o", "-o", sketch / "run")
    said = run(sketch / "run", input=lenet.quantise(images).tobytes())
    assert [int(line) for line in said.split()] == reference.run(lenet, images).argmax(1).tolist()


@pytest.mark.parametrize("layout", ["files", "cmake", "arduino"])
def test_a_name_that_c_cannot_have_writes_nothing(lenet, layout, tmp_path):
    with pytest.raises(ProgramError, match="cannot name a network"):
        write_layout(lenet, tmp_path, "9 lives", layout=layout)
    assert list(tmp_path.iterdir()) == []
