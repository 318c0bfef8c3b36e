import json
import re

from commands import horner

from horner.backends.c.host import calibrate


def test_a_network_is_timed_whole_and_layer_by_layer(program):
    timed = horner("bench", program, "--runs", 20, "--json").json
    low, median, high = timed["microseconds"]
    assert 0 < low <= median <= high
    assert [layer["name"] for layer in timed["layers"]] == ["conv1", "conv2", "linear1", "linear2", "linear3"]
    shown = horner("bench", program, "--runs", 20, "--isa", "portable")
    assert re.search(r"µs an image \(quartiles .*, 20 runs\), one thread, portable", shown.out)
    assert "linear3" in shown.out


def test_calibration_measures_the_planner_s_costs_and_keeps_them(tmp_path, monkeypatch):
    layers = [layer for layer in calibrate._programs() if layer[0] in ("1->6 5x5 28x28 int8", "84->10 1x1 1x1 int8")]
    monkeypatch.setattr(calibrate, "_programs", lambda: layers)
    monkeypatch.setattr(calibrate, "MOST_WAYS", 3)
    monkeypatch.setattr(calibrate, "cache_folder", lambda: tmp_path)
    result = horner("bench", "--calibrate", "--isa", "portable")
    assert "ways to do 2 layers on portable C" in result.out
    assert f"kept in {tmp_path}/c/costs-portable.json" in result.out.replace("\n", "")
    kept = json.loads((tmp_path / "c" / "costs-portable.json").read_text())
    assert min(kept.values()) >= 0
