import ast
import inspect
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import horner
from horner import errors
from horner.program.layers import MaxPool
from horner.program.program import Input, Program

FUNCTIONS = [
    "account",
    "approximate_",
    "arrange_",
    "compile",
    "fit_",
    "fold_",
    "load",
    "quantised",
    "save",
    "to_program",
]
CLASSES = ["Plan", "Program"]
PACKAGES = ["backends", "data", "hardware", "models", "training"]
ERRORS = [name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)]


def in_a_new_process(code: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-c", f"import sys\n{code}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_public_names_are_these():
    assert sorted(horner.__all__) == sorted([*FUNCTIONS, *CLASSES, *PACKAGES, *ERRORS, "__version__"])
    assert all(callable(getattr(horner, name)) for name in FUNCTIONS)
    assert all(inspect.isclass(getattr(horner, name)) for name in CLASSES)
    assert all(inspect.ismodule(getattr(horner, name)) for name in PACKAGES)
    assert all(issubclass(getattr(horner, name), horner.HornerError) for name in ERRORS)
    assert set(horner.__all__) <= set(dir(horner))
    assert horner.__version__ == version("horner")


def test_a_name_that_is_not_there_is_an_attribute_error():
    for module in (horner, horner.backends):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'nonsense'"):
            _ = module.nonsense


def test_type_checkers_see_every_name_where_it_is_found():
    (block,) = [node for node in ast.parse(Path(horner.__file__).read_text()).body if isinstance(node, ast.If)]
    seen = {alias.name: statement.module for statement in block.body for alias in statement.names}
    packages = {name: seen.pop(name) for name in PACKAGES}
    assert set(packages.values()) == {"horner"}
    assert seen == horner._HOMES


def test_importing_costs_nothing():
    heavy = "{'torch', 'numpy', 'rich', 'typer'}"
    assert in_a_new_process(f"import horner; print({heavy} & set(sys.modules))") == "set()\n"


def test_a_program_is_loaded_run_accounted_for_and_saved_without_torch(tmp_path):
    small = Program(Input((1, 4, 4)), (MaxPool(0, (2, 2), (2, 2)),))
    horner.save(small, tmp_path / "small.horner")
    code = """
import horner, numpy
program = horner.load(sys.argv[1])
images = numpy.arange(32, dtype=numpy.int8).reshape(2, 1, 4, 4)
print(horner.backends.reference.run(program, images).tolist(), horner.account(program, sys.argv[1]).file_bytes)
horner.save(program, sys.argv[2])
print(horner.backends.c.generate(program).name, "torch" in sys.modules)
"""
    printed = in_a_new_process(code, str(tmp_path / "small.horner"), str(tmp_path / "again.horner"))
    images = np.arange(32, dtype=np.int8).reshape(2, 1, 4, 4)
    outputs = horner.backends.reference.run(small, images).tolist()
    assert printed == f"{outputs} {(tmp_path / 'small.horner').stat().st_size}\nnetwork False\n"
    assert (tmp_path / "again.horner").read_bytes() == (tmp_path / "small.horner").read_bytes()
