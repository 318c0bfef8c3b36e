import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from horner.training.checkpoint import parse_checkpoint

SCRIPT = Path(__file__).with_name("_run.py")


def launch(folder: Path, **environment: str) -> tuple[int, str]:
    arguments = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(SCRIPT)]
    environment |= {"OMP_NUM_THREADS": "1", "EPOCHS": "4", "PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run(
        [*arguments, str(folder / "run.ckpt"), str(folder / "out")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        timeout=200,
        check=False,
    )
    return done.returncode, done.stderr


def results(folder: Path) -> list[dict]:
    return [parse_checkpoint((folder / f"out.{rank}").read_bytes(), folder) for rank in (0, 1)]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    code, errors = launch(folder)
    assert code == 0, errors
    return results(folder), errors


def test_two_processes_end_with_equal_weights_and_learn(together):
    (first, second), errors = together
    assert first["history"] == second["history"]
    for name, tensor in first["model"].items():
        assert torch.equal(second["model"][name], tensor), name
    loss, accuracy = first["history"][-1]
    assert loss < 0.7 * first["history"][0][0]
    assert accuracy > 75  # chance is 10
    lines = [line for line in errors.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 4  # one process speaks


def test_killed_processes_resume_to_the_same_weights(together, tmp_path):
    code, _ = launch(tmp_path, KILL_AFTER="70")  # in the midst of the second epoch
    assert code != 0
    state = parse_checkpoint((tmp_path / "run.ckpt").read_bytes(), tmp_path)
    assert (state["epoch"], state["step"]) in {(1, 16), (1, 32)}
    code, errors = launch(tmp_path)
    assert code == 0, errors
    for result, want in zip(results(tmp_path), together[0], strict=True):
        assert result["history"] == want["history"]
        assert all(torch.equal(result["model"][name], tensor) for name, tensor in want["model"].items())
