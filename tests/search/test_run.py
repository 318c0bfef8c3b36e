import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import search_worker
from search_worker import SPEC

from horner import models
from horner.errors import InterruptedTrainingError, SearchError
from horner.evaluation import accuracy, runner
from horner.program.file import load
from horner.search import explore, search
from horner.search.storage import open_storage, optuna

TRIALS = 6
SETTINGS = {"max_drop": 20, "epochs": 0, "finalists": 4, "changes": {"device": "cpu", "batch_size": 64}}


def run(data, trained, folder, trials, said=None, **changes):
    lines = [] if said is None else said
    return search(SPEC, data, folder, trained=trained, trials=trials, say=lines.append, **{**SETTINGS, **changes})


def start(folder, storage, dense_file, trials, **environment):
    command = [sys.executable, search_worker.__file__, *map(str, (folder, storage, dense_file, trials))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=environment, **pipes)


def states(place, name="horner"):
    study = optuna().load_study(storage=open_storage(place), study_name=name)
    return Counter(trial.state.name for trial in study.trials), study.trials


@pytest.fixture(scope="module")
def made(data, dense_file, tmp_path_factory):
    """A small search, and the folder of it."""
    folder = tmp_path_factory.mktemp("search")
    return run(data, models.load(dense_file, spec=SPEC), folder, TRIALS), folder


@pytest.fixture
def copied(made, tmp_path):
    """A folder to go on with."""
    return shutil.copytree(made[1], tmp_path / "copy")


def test_every_point_of_the_front_is_a_file_with_its_numbers_beside_it(made, data):
    found, folder = made
    assert found.front
    assert len({row["file"] for row in found.rows}) == len(found.rows)
    for row in found.rows:
        program = load(row["file"])
        assert json.loads(Path(row["file"]).with_suffix(".json").read_text()) == row
        assert row["file_bytes"] == Path(row["file"]).stat().st_size
        run_ = runner(program, "reference")
        assert row["validation_accuracy"] == accuracy(run_(data.validation.images), data.validation.labels)
        assert row["accuracy"] == accuracy(run_(data.test.images), data.test.labels)
    assert json.loads((folder / "front.json").read_text()) == json.loads(json.dumps(found.to_dict()))
    assert (folder / "front.svg").exists()


def test_the_front_is_chosen_by_validation_accuracy_and_cost(made):
    found, _ = made
    points = [(row["validation_drop"], row["file_bytes"]) for row in found.rows]
    kept = [(row["validation_drop"], row["file_bytes"]) for row in found.front]
    assert all(any(a <= c and b <= d for a, b in kept) for c, d in points)
    assert kept == sorted(kept, key=lambda point: point[1])
    within = [row for row in found.front if row["validation_drop"] <= 20]
    assert found.chosen == within[0]


def test_nothing_that_is_found_depends_on_the_test_split(made, data, trained, tmp_path):
    found, folder = made
    other = dataclasses.replace(data, test=dataclasses.replace(data.test, labels=(data.test.labels + 1) % 10))
    again = run(other, trained, tmp_path, TRIALS)
    assert [row["plan"] for row in again.front] == [row["plan"] for row in found.front]
    for row in again.rows:
        assert Path(row["file"]).read_bytes() == (folder / Path(row["file"]).name).read_bytes()


def test_the_same_command_does_nothing_twice_and_more_trials_go_on(data, trained, copied):
    said = []
    run(data, trained, copied, TRIALS, said)
    assert not [line for line in said if line.startswith(("trial", "finalist"))]
    run(data, trained, copied, TRIALS + 1, said)
    counted, _ = states(f"sqlite:///{copied}/study.db")
    assert counted["COMPLETE"] + counted["PRUNED"] == sum(counted.values()) == TRIALS + 1
    assert len([line for line in said if line.startswith("trial")]) == 1


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_interrupted_search_says_so_and_goes_on_with_the_same_trial(data, trained, copied, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(explore.Exploration, "_measure", interrupt)
        complaint = f"interrupted after {TRIALS} of {TRIALS + 1} trials; run the same command again"
        with pytest.raises(InterruptedTrainingError, match=complaint):
            run(data, trained, copied, TRIALS + 1)
    run(data, trained, copied, TRIALS + 1)
    counted, trials = states(f"sqlite:///{copied}/study.db")
    assert counted["FAIL"] == 1
    assert counted["COMPLETE"] + counted["PRUNED"] == TRIALS + 1
    (stopped,) = (trial for trial in trials if trial.state.name == "FAIL")
    assert [t.params for t in trials if t.user_attrs.get("again") == stopped.number] == [stopped.params]


def test_three_processes_share_a_study_and_those_that_are_killed_lose_nothing(dense_file, tmp_path):
    workers = [start(tmp_path, "-", dense_file, 8, KILL=kill) for kill in ("trial 2", "finalist", "")]
    ended = [process.communicate(timeout=900) for process in workers]
    assert [process.returncode for process in workers] == [-signal.SIGKILL, -signal.SIGKILL, 0], ended
    place = f"sqlite:///{tmp_path}/study.db"
    counted, trials = states(place)
    assert counted["COMPLETE"] + counted["PRUNED"] == 8
    assert not counted["RUNNING"]
    assert not counted["WAITING"]
    (killed,) = (t for t in trials if t.state.name == "FAIL" and "surplus" not in t.user_attrs)
    (again,) = (t for t in trials if t.user_attrs.get("again") == killed.number)
    assert again.params == killed.params
    assert again.state.name != "FAIL"
    out = [out.splitlines() for out, _ in ended]
    assert sum(line == "a worker died; its trial is done again" for lines in out for line in lines) == 1
    made_by = [{line.split()[1] for line in lines if line.startswith("trial")} for lines in out]
    assert len(set.union(*made_by)) == sum(map(len, made_by)) == 8
    counted, finals = states(place, "horner finalists")
    assert counted["FAIL"] == 1
    assert not counted["RUNNING"]
    done = [t.user_attrs["trial"] for t in finals if t.state.name == "COMPLETE"]
    assert len(set(done)) == len(done)
    assert {t.user_attrs["trial"] for t in finals} == set(done)
    assert {path.stem for path in tmp_path.glob("*.horner")} == {f"plan-{number:03d}" for number in done}
    assert not list((tmp_path / ".workers").glob(f"{'?' * 32}.lock"))


def test_workers_with_folders_of_their_own_end_with_the_same_files(made, data, trained, tmp_path):
    found, folder = made
    said = []
    second = run(data, trained, tmp_path, TRIALS, said, storage=f"sqlite:///{folder}/study.db")
    assert not [line for line in said if line.startswith(("trial", "finalist"))]
    for one, other in zip(found.rows, second.rows, strict=True):
        assert Path(one["file"]).read_bytes() == Path(other["file"]).read_bytes()
        assert {**one, "file": ""} == {**other, "file": ""}


def test_a_storage_that_is_lost_is_one_line(data, trained, copied, monkeypatch):
    def lose(*_):
        (copied / "study.db").write_bytes(b"gone" * 999)
        return explore.Outcome({}, pruned="no good")

    monkeypatch.setattr(explore.Exploration, "_measure", lose)
    with pytest.raises(SearchError, match=r"study\.db was lost: .*; run the same command again to go on"):
        run(data, trained, copied, TRIALS + 1)


def test_finalists_are_retrained_in_full(data, trained, tmp_path):
    found = run(data, trained, tmp_path, 2, epochs=3, proxy_epochs=2, proxy_images=100, finalists=1)
    (row,) = found.rows
    assert row["epochs"] == 3
    assert not list(tmp_path.glob("*.checkpoints"))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"objective": "joules"}, "no objective 'joules'; there are bytes, operations, coefficients"),
        ({"trials": 0}, "trials: at least 1, not 0"),
        ({"finalists": 0}, "finalists: at least 1, not 0"),
        ({"max_drop": -1}, "max_drop is in points of accuracy"),
        ({"epochs": 1}, "retraining takes at least 2 epochs"),
        ({"storage": "sqlite:////nowhere/a.db"}, "unable to open database file"),
    ],
)
def test_bad_input_is_one_line_before_any_work(changes, complaint, data, trained, tmp_path):
    trials = changes.pop("trials", 2)
    with pytest.raises(SearchError, match=complaint):
        run(data, trained, tmp_path / "o", trials, **changes)


def test_another_search_in_the_same_folder_is_refused(data, trained, copied):
    for key, changes in {"objective": {"objective": "operations"}, "max drop": {"max_drop": 3}}.items():
        with pytest.raises(SearchError, match=f"holds another search: its {key} is"):
            run(data, trained, copied, TRIALS, **changes)
    labels = np.roll(data.train.labels, 1)
    other = dataclasses.replace(data, train=dataclasses.replace(data.train, labels=labels))
    with pytest.raises(SearchError, match="holds another search: its data is"):
        run(other, trained, copied, TRIALS)
    trained[0][0].weight.data.mul_(2)
    with pytest.raises(SearchError, match="holds another search: its network is"):
        run(data, trained, copied, TRIALS)
    assert run(data, trained, copied, 1, study="another").rows
