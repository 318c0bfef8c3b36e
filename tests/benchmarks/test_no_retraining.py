"""Points are honest: bytes are those of files, peers run as what they store."""

import copy
import functools

import msgspec
import pytest
from digits import digits

from benchmarks import no_retraining
from benchmarks.no_retraining import Contest, _rounded, _shared, tasks
from horner import models
from horner.approximation import feature_maps
from horner.pipeline import calibration_images
from horner.plan import Plan
from horner.program.file import dumps


@pytest.fixture(scope="module")
def contest():
    data = digits(train=200, validation=50, test=50)
    dense = models.build("lenet5", batch_norm=True, seed=0).eval()
    return Contest(dense, data, calibration_images(data, 50), 50.0, backend="dense")


def test_rounding_per_tensor_takes_what_its_own_file_would(contest):
    point = contest.peer("", "", functools.partial(_rounded, bits=5, per_channel=False))
    file = dumps(contest._program(copy.deepcopy(contest.dense), "dense bits=5"))
    assert point.bytes == pytest.approx(len(file), rel=0.01)
    assert point.coefficient_ratio == 1.0


def test_a_plans_bytes_are_its_files(contest):
    point = contest.horner("Horner, ternary", "ranked=linear/3level zero")
    assert 1.3 * contest.weights / 8 < point.bytes < 1.8 * contest.weights / 8
    assert point.byte_ratio == contest.dense_bytes / point.bytes
    assert point.drop == pytest.approx(50.0 - point.accuracy)
    assert point.coefficient_ratio == contest.weights / 10


def test_many_clusters_change_nothing(contest):
    many = contest.peer("", "", functools.partial(_shared, clusters=256))
    dense = contest.peer("", "", functools.partial(_rounded, bits=8, per_channel=True))
    assert abs(many.accuracy - dense.accuracy) <= 2


def test_every_setting_is_one_point_and_plans_can_be_parsed(contest):
    found = [(task.method, task.setting) for task in tasks(contest)]
    assert len(set(found)) == len(found)
    maps = feature_maps(contest.dense, contest.calibration[:2])
    for method, setting in found:
        if method.startswith("Horner") and "bits per weight" not in setting:
            assert Plan.parse(setting).match(contest.dense, maps=maps)


def test_points_of_the_same_network_are_kept(tmp_path):
    point = no_retraining.Point("k-means", "4 clusters per layer", 10, 2.0, 3.0, 90.0, 1.0)
    report = {"dense": {"sha256": "abc"}, "points": [msgspec.to_builtins(point)]}
    (tmp_path / "r.json").write_bytes(msgspec.json.encode(report))
    kept = no_retraining._kept(tmp_path / "r.json", "abc")
    assert kept == {("k-means", "4 clusters per layer"): msgspec.to_builtins(point)}
    assert no_retraining._kept(tmp_path / "r.json", "other") == {}
    assert no_retraining._kept(tmp_path / "none.json", "abc") == {}
