import re

import pytest
from commands import end, horner, start

VERBS = [
    "train",
    "approximate",
    "finetune",
    "search",
    "sensitivity",
    "presets",
    "zoo",
    "eval",
    "account",
    "export",
    "synth",
    "simulate",
    "bench",
    "demo",
]
WRITING = ["train", "approximate", "finetune", "search", "sensitivity", "export", "demo"]


def test_help_lists_the_verbs_and_each_explains_itself_without_torch():
    code = "import atexit; atexit.register(lambda: print('imported:', {'torch', 'numpy'} & set(sys.modules)))"
    top = end(start("--help", code=code))
    assert top.code == 0
    page, _, imported = top.out.partition("imported: ")
    assert imported == "set()\n"
    assert [line.split()[0] for line in page.partition("Commands:")[2].splitlines() if line] == VERBS
    assert horner() == (0, page, "")
    for verb in VERBS:
        page = horner(verb, "--help")
        assert page.code == 0
        assert page.err == ""
        assert {
            "--json",
            "-o, --output"
            if verb in WRITING
            else "FILE.horner"
            if verb not in ("presets", "zoo", "synth")
            else "--json",
        } <= set(re.findall(r"--json|-o, --output|FILE\.horner", page.out))
        assert not re.search(r"^  -\S+( \S+)?$(?!\n {20})", page.out, re.MULTILINE), "an option without help"


def test_the_version_is_printed():
    assert re.fullmatch(r"horner \d+\.\d+\.\d+\n", horner("--version").out)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bake"], "No such command 'bake'"),
        (["account"], "Missing argument"),
        (["train", "-o", "x", "--data", "mnist"], "Missing argument 'MODEL', which a --preset would name"),
        (["train", "-o", "x", "lenet5"], "Missing option '--data', which a --preset would name"),
        (["approximate", "-o", "x", "lenet5", "--data", "mnist"], "Missing option '--plan'"),
        (["eval", "m.horner", "--data", "mnist", "--backend", "rtl"], "--backend"),
        (["train", "lenet5", "--data", "mnist", "-o", "x", "--epochs", "0"], "--epochs"),
        (["train", "lenet5", "--data", "folder:x", "-o", "x", "--size", "28"], "28 is not HxW"),
        (["demo", "--data", "cifar-10"], "--data"),
        (["export", "m.horner", "--to", "safetensors", "-o", "x", "--target", "cortex-m4"], "are of --to c"),
        (["export", "m.horner", "--to", "c", "-o", "x", "--optimise", "O3"], "--optimise"),
        (["export", "m.horner", "--to", "c", "-o", "x", "--layout", "make"], "--layout"),
        (["simulate", "m.horner", "--data", "mnist"], "give --target (a chip), --arch"),
        (["simulate", "m.horner", "--target", "cortex-m4", "--arch", "reuse"], "give --target (a chip), --arch"),
        (["simulate", "m.horner", "--target", "cortex-m4", "--data", "mnist", "-n", "0"], "-n"),
        (["simulate", "m.horner", "--target", "cortex-m4", "--report", "m.html"], "--report is of --arch"),
        (["bench"], "give a file to time, or --calibrate and no file"),
        (["bench", "m.horner", "--calibrate"], "give a file to time, or --calibrate and no file"),
    ],
)
def test_a_command_that_makes_no_sense_is_exit_2(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = horner(*arguments)
    assert (result.code, result.out) == (2, "")
    assert says in result.complaint
    assert "--help)" in result.complaint
