import copy
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import training_run
from digits import digits
from torch import nn
from training_run import run

from horner.errors import TrainingError
from horner.models import build
from horner.training import InterruptedTrainingError, TrainConfig, loop, train
from horner.training.checkpoint import parse_checkpoint
from horner.training.spent import spent

SCRIPT = Path(training_run.__file__)
CONFIG = TrainConfig(epochs=2, batch_size=32, device="cpu", threads=1)


def start(folder: Path) -> subprocess.Popen:
    arguments = [sys.executable, str(SCRIPT), str(folder / "run.ckpt"), str(folder / "out")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SCRIPT.parent), *sys.path])}
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment)


def position(checkpoint: Path) -> tuple[int, int]:
    if not checkpoint.exists():
        return (-1, 0)
    state = parse_checkpoint(checkpoint.read_bytes(), checkpoint)
    return state["epoch"], state["step"]


def stop_at(process: subprocess.Popen, checkpoint: Path, where: tuple[int, int], number: int) -> None:
    deadline = time.monotonic() + 60
    while position(checkpoint) < where and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    process.send_signal(number)


def test_a_run_stopped_again_and_again_ends_as_an_unbroken_one(tmp_path, capfd):
    unbroken = run(None)
    assert [line.split()[:2] for line in capfd.readouterr().err.splitlines()] == [
        ["epoch", f"{epoch}/3"] for epoch in (1, 2, 3)
    ]
    checkpoint = tmp_path / "run.ckpt"
    for where, number in {
        (0, 3): signal.SIGKILL,
        (0, 15): signal.SIGINT,
        (1, 1): signal.SIGKILL,
        (2, 4): signal.SIGTERM,
    }.items():
        process = start(tmp_path)
        stop_at(process, checkpoint, where, number)
        _, errors = process.communicate(timeout=60)
        assert position(checkpoint) >= where
        if number == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 1
            last = errors.splitlines()[-1]
            assert last.startswith("InterruptedTrainingError: interrupted in epoch ")
            assert last.endswith(f"run the same command again to continue from {checkpoint}")
            assert "Traceback" not in errors
    process = start(tmp_path)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    result = parse_checkpoint((tmp_path / "out.0").read_bytes(), tmp_path)
    assert result["history"] == unbroken["history"]
    assert result["model"].keys() == unbroken["model"].keys()
    for name, tensor in unbroken["model"].items():
        assert torch.equal(result["model"][name], tensor), name


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
    attempt()  # finished already: nothing is trained again
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


def test_a_run_that_goes_on_on_another_processor_names_both(tmp_path, monkeypatch):
    def stop(model: nn.Module, epoch: int, epochs: int) -> None:
        if epoch == 1 and not again:
            os.kill(os.getpid(), signal.SIGINT)

    again = False
    checkpoint, data, model = tmp_path / "run.ckpt", digits(100, 50), build("lenet5", seed=0)
    beginning = copy.deepcopy(model)
    monkeypatch.setattr(loop, "processor", lambda: "This")
    with pytest.raises(InterruptedTrainingError):
        train(model, data, CONFIG, checkpoint=checkpoint, progress=False, epoch_hook=stop)
    again = True
    monkeypatch.setattr(loop, "processor", lambda: "That")
    result = train(beginning, data, CONFIG, checkpoint=checkpoint, progress=False, epoch_hook=stop)
    assert [epoch.processor for epoch in result.history] == ["This", "That"]
    assert spent(result, CONFIG).machine.processor == "This, then That"
