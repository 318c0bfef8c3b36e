import os
import subprocess
import sys
from pathlib import Path

import torch
import training_run

from horner.training.checkpoint import parse_checkpoint

SCRIPT = Path(training_run.__file__)


def launch(folder: Path, **environment: str) -> tuple[int, str]:
    arguments = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(SCRIPT)]
    environment |= {
        "OMP_NUM_THREADS": "1",
        "EPOCHS": "4",
        "PYTHONPATH": os.pathsep.join([str(SCRIPT.parent), *sys.path]),
    }
    done = subprocess.run(
        [*arguments, str(folder / "run.ckpt"), str(folder / "out")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        timeout=200,
        check=False,
    )
    return done.returncode, done.stderr


def results(folder: Path, name: str) -> list[dict]:
    return [parse_checkpoint((folder / f"{name}.{rank}").read_bytes(), folder) for rank in (0, 1)]


def test_two_processes_agree_and_resume_where_they_were_killed(tmp_path):
    code, errors = launch(tmp_path, KILL_AFTER="39")
    assert code != 0
    lines = [line for line in errors.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/4", "2/4", "3/4", "4/4", "1/4"]  # one process speaks

    first, second = results(tmp_path, "unbroken")
    assert_same(first, second)
    loss, accuracy = first["history"][-1]
    assert loss < 0.7 * first["history"][0][0]
    assert accuracy > 60  # chance is 10

    state = parse_checkpoint((tmp_path / "run.ckpt").read_bytes(), tmp_path)
    assert (state["epoch"], state["step"]) == (1, 16)
    code, errors = launch(tmp_path)
    assert code == 0, errors
    for resumed in results(tmp_path, "out"):
        assert_same(resumed, first)


def assert_same(a: dict, b: dict) -> None:
    assert a["history"] == b["history"]
    for name, tensor in a["model"].items():
        assert torch.equal(b["model"][name], tensor), name
