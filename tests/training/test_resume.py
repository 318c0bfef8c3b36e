import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from horner.errors import TrainingError
from horner.models import build
from horner.training import InterruptedTrainingError, TrainConfig, train
from horner.training.checkpoint import parse_checkpoint

SCRIPT = Path(__file__).with_name("_run.py")
CONFIG = TrainConfig(epochs=2, batch_size=32, device="cpu", threads=1)


def start(folder: Path) -> subprocess.Popen:
    arguments = [sys.executable, str(SCRIPT), str(folder / "run.ckpt"), str(folder / "out")]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment)


def finish(folder: Path) -> tuple[dict, str]:
    process = start(folder)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return outcome(folder / "out.0"), errors


def outcome(path: Path) -> dict:
    return parse_checkpoint(path.read_bytes(), path)


def position(checkpoint: Path) -> tuple[int, int]:
    if not checkpoint.exists():
        return (-1, 0)
    state = parse_checkpoint(checkpoint.read_bytes(), checkpoint)
    return state["epoch"], state["step"]


def stop_at(process: subprocess.Popen, checkpoint: Path, where: tuple[int, int], number: int) -> None:
    deadline = time.monotonic() + 60
    while position(checkpoint) < where and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, process.communicate()
    process.send_signal(number)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    result, errors = finish(tmp_path_factory.mktemp("unbroken"))
    assert [line.split()[:2] for line in errors.splitlines()] == [["epoch", f"{e}/3"] for e in (1, 2, 3)]
    return result


def assert_same(result: dict, unbroken: dict) -> None:
    assert result["history"] == unbroken["history"]
    assert result["model"].keys() == unbroken["model"].keys()
    for name, tensor in unbroken["model"].items():
        assert torch.equal(result["model"][name], tensor), name


def test_a_run_killed_again_and_again_ends_as_an_unbroken_one(tmp_path, unbroken):
    for where in ((0, 3), (1, 1), (2, 7)):
        process = start(tmp_path)
        stop_at(process, tmp_path / "run.ckpt", where, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert position(tmp_path / "run.ckpt") >= where
    assert_same(finish(tmp_path)[0], unbroken)
    (tmp_path / "out.0").unlink()
    result, errors = finish(tmp_path)  # finished already: nothing is trained again
    assert errors == ""
    assert_same(result, unbroken)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, unbroken, number):
    process = start(tmp_path)
    stop_at(process, tmp_path / "run.ckpt", (1, 5), number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith("InterruptedTrainingError: interrupted in epoch ")
    assert errors.strip().endswith(f"run the same command again to continue from {tmp_path / 'run.ckpt'}")
    assert "Traceback" not in errors
    assert_same(finish(tmp_path)[0], unbroken)


def lenet(seed: int = 0) -> nn.Module:
    return build("lenet5", seed=seed)


@pytest.fixture
def finished(tmp_path, data):
    train(lenet(), data, CONFIG, checkpoint=tmp_path / "run.ckpt", progress=False)
    return tmp_path / "run.ckpt"


def test_another_run_is_refused_and_told_what_differs(finished, data):
    def attempt(model=None, config=CONFIG, data=data):
        train(model or lenet(), data, config, checkpoint=finished, progress=False)

    before = finished.read_bytes()
    attempt()
    attempt(config=dataclasses.replace(CONFIG, threads=2, checkpoint_seconds=1.0))
    shorter = dataclasses.replace(data.train, images=data.train.images[1:], labels=data.train.labels[1:])
    for change, message in (
        ({"config": dataclasses.replace(CONFIG, lr=0.1)}, r"lr differs \(0.002 there, 0.1 here\)"),
        ({"config": dataclasses.replace(CONFIG, epochs=3)}, r"epochs differs \(2 there, 3 here\)"),
        ({"data": dataclasses.replace(data, train=shorter)}, "data differs"),
        ({"data": dataclasses.replace(data, mean=1)}, "data differs"),
        ({"model": lenet(1)}, "initial weights differs"),
        ({"model": build("lenet5", seed=0, batch_norm=True)}, "initial weights differs"),
    ):
        with pytest.raises(TrainingError, match=message):
            attempt(**change)
    assert finished.read_bytes() == before


def test_a_damaged_checkpoint_is_refused_and_kept(finished, data):
    raw = finished.read_bytes()
    for damaged in (b"", raw[:-1], raw[:5000], raw[:9000] + b"\0" + raw[9001:], b"something else"):
        finished.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"run\.ckpt.* to start afresh"):
            train(lenet(), data, CONFIG, checkpoint=finished, progress=False)
        assert finished.read_bytes() == damaged


def test_without_a_checkpoint_an_interruption_says_so(data):
    def hook(model, epoch, epochs):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedTrainingError, match="nothing to continue from"):
        train(lenet(), data, CONFIG, progress=False, epoch_hook=hook)
