import json
import re

import pytest
from commands import horner
from search_worker import SPEC

from horner.data import idx
from horner.program.file import load


@pytest.fixture(scope="module")
def options(data, dense_file, tmp_path_factory):
    """The network and its images, as the command line takes them."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    for name, split in (("train", data.train), ("t10k", data.test)):
        (folder / "mnist" / f"{name}-images-idx3-ubyte").write_bytes(idx.dumps(split.images[:, 0]))
        (folder / "mnist" / f"{name}-labels-idx1-ubyte").write_bytes(idx.dumps(split.labels.astype("uint8")))
    return [SPEC, "--data", "mnist", "--data-dir", folder, "--from", dense_file]


def complaints(err):
    return [line for line in err.splitlines() if line.startswith("horner: ")]


@pytest.mark.parametrize("asked", [["--json"], []])
def test_a_search_prints_the_front_and_says_on_standard_error_how_it_goes(asked, options, tmp_path):
    few = ["--trials", 2, "--epochs", 0, "--finalists", 1, "--max-drop", 50]
    code, out, err = horner("search", *options, *few, "-o", tmp_path, *asked)
    assert code == 0, err
    assert [line.split()[0] for line in err.splitlines()[-3:]] == ["trial", "finalist", "finalist"]
    if asked:
        (row,) = json.loads(out)["front"]
        assert load(row["file"]).integer
    else:
        assert re.search(r"plan-\d{3}\.horner", out)
        assert f"picture: {tmp_path / 'front.svg'}" in out


def test_a_budget_that_nothing_meets_is_said_in_the_end(options, tmp_path):
    harsh = ["--trials", 3, "--epochs", 0, "--finalists", 1, "--max-drop", 0]
    code, out, err = horner("search", *options, *harsh, "-o", tmp_path, "--json")
    found = json.loads(out)
    assert code == (0 if found["chosen"] else 3)
    assert bool(complaints(err)) == (found["chosen"] is None)


@pytest.mark.parametrize(
    ("changes", "code", "complaint"),
    [
        (["--objective", "joules"], 2, "'joules' is not one of 'bytes', 'operations', 'coefficients'"),
        (["--trials", 0], 2, "Input should be greater than or equal to 1"),
        (["--storage", "sqlite:////nowhere/a.db"], 1, "--storage sqlite:////nowhere/a.db cannot be used"),
        (["--epochs", 1], 1, "retraining takes at least 2 epochs"),
        (["-o", "/proc/nothing"], 1, "cannot write /proc/nothing/front.json"),
    ],
)
def test_bad_input_is_one_line(changes, code, complaint, options, tmp_path):
    ended, out, err = horner("search", *options, "--max-drop", 1, "-o", tmp_path / "o", *changes)
    assert (ended, out) == (code, "")
    (line,) = complaints(err)
    assert complaint in line


def test_sensitivity_prints_a_row_for_every_layer_and_form(options, tmp_path):
    code, out, err = horner("sensitivity", *options, "--plan", "ranked=linear/2bit", "-o", tmp_path, "--json")
    assert code == 0, err
    assert {row["layer"] for row in json.loads(out)["bearings"]} == {"0", "5", "7"}
    assert json.loads((tmp_path / "sensitivity.json").read_text()) == json.loads(out)
    code, out, _ = horner("sensitivity", *options, "--plan", "0: ranked=linear/2bit")
    assert code == 0
    assert "ranked=linear/2bit" in out
