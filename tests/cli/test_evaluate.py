import os
import re

from commands import end, horner, start


def test_what_was_written_is_measured_by_every_backend(data_dir, program):
    ends = [
        horner("eval", program, "--data", "mnist", "--data-dir", data_dir, "--backend", backend, "--json").json
        for backend in ("reference", "dense", "c")
    ]
    assert [result["backend"] for result in ends] == ["reference", "dense", "c"]
    assert {result["accuracy"] for result in ends} == {ends[0]["accuracy"]}
    assert ends[0]["accuracy"] > 50
    assert ends[0]["n"] == 200
    part = horner("eval", program, "--data", "mnist", "--data-dir", data_dir, "--split", "validation")
    assert re.search(r"^accuracy: \d+\.\d\d\nn: 60\nbackend: reference\n$", part.out)


def test_a_set_that_no_source_has_lists_all_that_was_tried(program, tmp_path, monkeypatch):
    monkeypatch.setenv("HORNER_OFFLINE", "1")
    monkeypatch.setenv("HORNER_CACHE", str(tmp_path))
    result = horner("eval", program, "--data", "cifar-100", "--data-dir", tmp_path)
    assert result.code == 1
    assert result.err.startswith("horner: cifar-100 was not found. Tried:\n  - data folder")


def test_without_a_compiler_one_line_says_how_to_get_one(program, data_dir):
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "PATH")} | {"PATH": ""}
    command = ["eval", program, "--data", "mnist", "--data-dir", data_dir, "--backend", "c"]
    result = end(start(*command, code="sys.modules['ziglang'] = None", env=environment))
    assert result.code == 1
    assert result.complaint.startswith("no C compiler found")
    assert "pip install 'horner[mcu]'" in result.complaint


def test_ctrl_c_while_compiling_is_one_line(program, data_dir, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && exit\nkill -INT $PPID\nsleep 5\n')
    compiler.chmod(0o755)
    environment = os.environ | {"CC": str(compiler), "HORNER_CACHE": str(tmp_path / "cache")}
    command = ["eval", program, "--data", "mnist", "--data-dir", data_dir, "--backend", "c"]
    result = end(start(*command, code="sys.modules['ziglang'] = None", env=environment))
    assert (result.code, result.out, result.complaint) == (130, "", "interrupted")
    assert list((tmp_path / "cache" / "c").iterdir()) == []
