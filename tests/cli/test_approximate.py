import os
import re
import signal
from pathlib import Path

import pytest
from commands import approximating, horner

from horner import load, presets, record
from horner.plan import Plan


def test_the_plan_is_shown_before_the_work_and_missed_budgets_are_exit_3(data_dir, dense, tmp_path):
    output = tmp_path / "m.horner"
    command = [*approximating(data_dir, dense), "-o", output, "--bits", 5]
    missed = horner(*command, "--max-bytes", 10, "--max-drop", -100)
    assert missed.code == 3
    assert missed.err.splitlines()[-1] == (
        f"horner: {output} was written, but accuracy dropped by "
        + re.search(r"drop: (\S+)", missed.out)[1]
        + f" points, more than -100 and the file has {output.stat().st_size} bytes, more than 10"
    )
    assert re.search(r"fc1 +120x16x5x5 +out=linear/4 row=quadratic map=5x5 bits=5 ", missed.err)
    assert {layer.weights.bits for layer in load(output).layers if hasattr(layer, "weights")} == {5}
    kept = horner(*command, "--max-bytes", 100_000, "--max-drop", 100, "--json")
    assert kept.json["accuracy"] == pytest.approx(float(re.search(r"\naccuracy: (\S+)", missed.out)[1]))
    assert "out=linear" not in kept.err


def test_a_preset_is_all_that_a_recorded_run_needs_and_what_is_given_holds_instead(data_dir, tmp_path):
    lent = ["--data-dir", data_dir, "--seed", 2, "--json"]
    network, output = tmp_path / "dense.safetensors", tmp_path / "m.horner"
    dense = horner("train", "--preset", "lenet5-demo", "--epochs", 2, "-o", network, *lent).json
    assert (dense["model"], dense["data"], dense["epochs"]) == ("lenet5", "mnist", 2)
    command = ["approximate", "--preset", "lenet5-demo", "--from", network, "--epochs", 2, "-o", output]
    report = horner(*command, "--record", tmp_path / "results", *lent).json
    assert report["epochs"] == 2
    run = record.read(tmp_path / "results" / "m.json")
    assert run.preset == "lenet5-demo"
    assert run.seed == 2
    assert run.command == (
        "horner approximate --preset lenet5-demo --from dense.safetensors --epochs 2 -o m.horner "
        "--record results --seed 2 --json"
    )
    assert run.dense_command.startswith("horner train --preset lenet5-demo --epochs 2 -o dense.safetensors")
    assert run.dense.settings["lr"] == 3e-3
    assert Plan.parse(run.recipe.plan) == Plan.parse(presets.get("lenet5-demo").plan)


def test_a_plan_in_a_file_and_a_network_of_ones_own(data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own_net.py").write_text("""
from torch import nn

def small(classes):
    return nn.Sequential(nn.Conv2d(1, 4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, classes))
""")
    Path("plan.toml").write_text('["0"]\nout = "linear"\n')
    made = horner(
        *("approximate", "own_net:small", "--data", "mnist", "--data-dir", data_dir, "--plan", "plan.toml"),
        *("--epochs", 2, "--seed", 1, "-o", "own.horner", "--json"),
    )
    assert made.json["coefficients"] == 2 * 25 + 2560
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".py" and path.is_file()) == [
        *("own.dense.safetensors", "own.horner", "plan.toml")
    ]


@pytest.mark.parametrize("stage", ["arrange_", "quantised", "freeze"])
def test_ctrl_c_in_any_stage_is_one_line_and_keeps_the_former_file(stage, data_dir, dense, tmp_path, monkeypatch):
    from horner import pipeline

    output = tmp_path / "m.horner"
    output.write_bytes(b"former")
    monkeypatch.setattr(pipeline, stage, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    result = horner(*approximating(data_dir, dense), "-o", output, "--json")
    assert (result.code, result.out, result.err.splitlines()[-1]) == (130, "", "horner: interrupted")
    assert output.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [output]
