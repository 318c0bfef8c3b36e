import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from digits import digits
from rich.console import Console

from horner import demonstration
from horner.backends import reference
from horner.data import DataSet, Split
from horner.errors import DataError
from horner.pipeline import Retraining
from horner.plan import Plan
from horner.program.file import load


@pytest.fixture(scope="module")
def data():
    return digits(train=800, validation=200, test=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def report(data, folder):
    with pytest.MonkeyPatch.context() as patch:
        short = dataclasses.replace(demonstration.DENSE, epochs=3, device="cpu")
        patch.setattr(demonstration, "DENSE", short)
        patch.setattr(demonstration, "RETRAINING", Retraining.like(short, 3))
        patch.setattr(demonstration, "TIMED_IMAGES", 5)
        return demonstration.run(data, folder, progress=False)


def test_every_form_is_measured_on_every_test_image(report, data, folder):
    assert [row.name for row in report.rows] == ["dense (PyTorch)", "approximated", "integer (NumPy)", "compiled C"]
    assert report.test_images == 300
    integer, compiled = report.rows[2:]
    assert integer.accuracy == compiled.accuracy
    outputs = reference.run(load(folder / "lenet5.horner"), data.test.images)
    assert compiled.accuracy == 100 * np.mean(outputs.argmax(1) == data.test.labels)
    assert report.identical


def test_bytes_are_those_on_disk(report, folder):
    size = (folder / "lenet5.horner").stat().st_size
    assert report.rows[-1].bytes == report.account.file_bytes == size
    assert report.rows[-1].byte_ratio == 4 * 61_706 / size
    assert report.rows[0].bytes == 4 * 61_706


def test_the_files_it_names_are_there_and_no_checkpoint_stays(report, folder):
    assert len(report.files) == 9
    assert all(Path(path).stat().st_size > 0 for path in report.files.values())
    assert not (folder / "checkpoints").exists()
    assert json.loads((folder / "report.json").read_text())["drop"] == report.drop


def test_the_table_fits_a_terminal_of_80_columns(report):
    text = io.StringIO()
    Console(file=text, width=80).print(report.table())
    numbers, _, _ = text.getvalue().partition("\ndense network  ")  # the paths after that are as long as they are
    lines = numbers.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in numbers
    for row in report.rows:
        assert any(row.name in line and f"{row.accuracy:.2f} %" in line for line in lines)
    assert "equal on every image" in numbers


def test_retraining_costs_no_more_epochs_than_the_dense_network_had():
    retraining = demonstration.RETRAINING
    assert retraining.real.epochs + retraining.quantised.epochs <= demonstration.DENSE.epochs


def test_the_plan_names_every_layer():
    plan = Plan.parse(demonstration.PRESET.plan)
    assert [pattern for pattern, _ in plan.rules][1:] == ["conv1", "conv2", "fc1", "fc2", "fc3"]


def test_other_images_are_refused_before_any_work(tmp_path):
    colour = Split(np.zeros((20, 3, 32, 32), np.uint8), np.arange(20) % 10)
    data = DataSet("pictures", tuple("0123456789"), colour, colour, colour, 0, 1.0, "made up", True)
    with pytest.raises(DataError, match=r"takes images of shape \(1, 28, 28\), those of pictures have \(3, 32, 32\)"):
        demonstration.run(data, tmp_path / "demo")
    assert not (tmp_path / "demo").exists()
