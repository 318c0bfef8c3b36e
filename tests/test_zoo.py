import numpy as np
import pytest
from digits import digits

from horner import zoo
from horner.data.catalog import SETS
from horner.errors import FileError
from horner.evaluation import accuracy, runner
from horner.program.account import account
from horner.program.file import load
from horner.record import sha256


def test_every_program_is_there_and_is_what_the_index_says():
    assert {path.stem for path in zoo._home().glob("*.horner")} == set(zoo.entries())
    for name, entry in zoo.entries().items():
        path = zoo.find(f"zoo:{name}")
        assert sha256(path) == entry.sha256
        assert zoo.recognise(path) == entry
        program = load(path)
        numbers = account(program, path)
        assert path.stat().st_size == entry.file_bytes
        assert round(numbers.byte_ratio, 2) == entry.byte_ratio
        assert round(numbers.coefficient_ratio, 2) == entry.coefficient_ratio
        assert program.input.shape == SETS[entry.data].shape


def test_programs_for_digits_are_as_accurate_on_real_ones_by_both_backends():
    test = digits(test=1500).test
    for name, entry in zoo.entries().items():
        if entry.data == "mnist":
            program = load(zoo.find(f"zoo:{name}"))
            golden, compiled = (runner(program, backend)(test.images) for backend in ("reference", "c"))
            assert np.array_equal(golden, compiled)
            assert abs(accuracy(golden, test.labels) - entry.accuracy) < 1.5


def test_other_names_are_paths_and_unknown_animals_are_refused(tmp_path):
    assert zoo.find("some/file.horner").parts == ("some", "file.horner")
    with pytest.raises(FileError, match="the zoo has no 'unicorn'; `horner zoo` lists what there is"):
        zoo.find("zoo:unicorn")
    (tmp_path / "x.horner").write_bytes(b"not one of them")
    assert zoo.recognise(tmp_path / "x.horner") is None
