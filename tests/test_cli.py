import contextlib
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from horner import load, presets, record, zoo
from horner.backends.c.host import calibrate
from horner.cli import main
from horner.cli.options import identifier
from horner.data import embedded, idx
from horner.plan import Plan

VERBS = [
    "train",
    "approximate",
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
WRITING = ["train", "approximate", "search", "sensitivity", "export", "demo"]
GENTLE = "fc1: out=linear/4 row=quadratic; fc2: in=linear/4"
NOTICE = "are not the official ones"


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that says what is wrong, all notices apart."""
        (line,) = (line for line in self.err.splitlines() if NOTICE not in line)
        assert line.startswith("horner: ")
        return line.removeprefix("horner: ")

    @property
    def json(self) -> dict:
        assert self.code == 0, self.err
        assert len(self.out.splitlines()) == 1
        return json.loads(self.out)


def horner(*arguments: object) -> Result:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["horner", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return Result(ended.value.code, out.getvalue(), err.getvalue())


def start(*arguments: object, code: str = "", **options: object) -> subprocess.Popen:
    """Start a command in a process of its own, after some code."""
    script = f"import sys\n{code}\nsys.argv[0] = 'horner'\nfrom horner.cli import main\nmain()"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def end(process: subprocess.Popen) -> Result:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    return Result(process.returncode, out, err)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    """A slice of MNIST in its official form."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    for name, content in embedded.files().items():
        images = idx.loads(content, 3 if "images" in name else 1)
        (folder / "mnist" / name).write_bytes(idx.dumps(images[: 600 if name.startswith("train") else 200]))
    return folder


@pytest.fixture(scope="session")
def dense(data_dir, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("dense") / "lenet.safetensors"
    made = horner(
        *("train", "lenet5", "--data", "mnist", "--data-dir", data_dir, "--batch-norm", "--epochs", 4, "-o", file),
        "--json",
    )
    assert made.json["accuracy"] > 50
    return file


@pytest.fixture(scope="session")
def program(data_dir, dense, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("program") / "lenet-5.horner"
    made = horner(*approximating(data_dir, dense), "-o", file, "--json")
    assert made.json["file_bytes"] == file.stat().st_size
    return file


def approximating(data_dir: Path, dense: Path) -> list[object]:
    data = ["--data", "mnist", "--data-dir", data_dir]
    return ["approximate", "lenet5", *data, "--from", dense, "--plan", GENTLE, "--epochs", 0]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Two classes of RGB pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in (("blue", (0, 0, 200)), ("red", (200, 0, 0))):
        (folder / name).mkdir()
        for i in range(20):
            noise = np.random.default_rng(i).integers(0, 50, (32, 32, 3), np.uint8)
            Image.fromarray(noise + np.array(colour, np.uint8)).save(folder / name / f"{i}.png")
    return folder


# what every command has


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


# the way from images to C


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


def test_only_what_the_zoo_has_is_measured_without_naming_images(program, data_dir, tmp_path, monkeypatch):
    assert "Missing option '--data'" in horner("eval", program).complaint
    numbers = horner("account", program, "--json").json
    entry = zoo.Entry(
        title="mine",
        model="lenet5",
        data="mnist",
        seed=0,
        reading="positional",
        n=200,
        accuracy=90.0,
        drop=1.0,
        sha256=record.sha256(program),
        **{name: numbers[name] for name in ("file_bytes", "byte_ratio", "coefficient_ratio")},
    )
    monkeypatch.setattr(zoo, "entries", lambda: {"mine": entry})
    monkeypatch.setattr(zoo, "_home", lambda: tmp_path)
    (tmp_path / "mine.horner").write_bytes(program.read_bytes())
    named = horner("eval", program, "--data", "mnist", "--data-dir", data_dir).out
    assert horner("eval", "zoo:mine", "--data-dir", data_dir).out == named
    assert horner("eval", program, "--data-dir", data_dir).out == named
    assert re.search(r"^ *zoo:mine +mine +mnist ", horner("zoo").out, re.MULTILINE)
    assert horner("zoo", "--json").json["mine"]["model"] == "lenet5"
    assert horner("account", "zoo:mnie").complaint == "the zoo has no 'mnie'; did you mean zoo:mine?"
    (tmp_path / "mine.horner").unlink()
    assert "is missing from this installation" in horner("account", "zoo:mine").complaint


def test_the_account_is_of_the_file_on_disk(program):
    numbers = horner("account", program, "--json").json
    assert numbers["file_bytes"] == program.stat().st_size
    wanted = (
        "coefficient_ratio value_ratio byte_ratio dense_parameters coefficients multiplications additions dense_macs"
    )
    assert set(wanted.split()) <= numbers.keys()
    assert sum(layer["coefficients"] for layer in numbers["layers"]) == numbers["coefficients"]
    table = horner("account", program).out
    assert f"byte ratio {numbers['byte_ratio']:.2f} = " in table
    assert all(layer["name"] in table for layer in numbers["layers"])


def test_export_writes_c_and_tensors_and_says_how_large(program, tmp_path):
    for target, names in {"c": ["lenet_5.c", "lenet_5.h", "example.c"], "safetensors": ["lenet-5.safetensors"]}.items():
        folder = tmp_path / target
        files = horner("export", program, "--to", target, "-o", folder, "--json").json["files"]
        assert files == {str(folder / name): (folder / name).stat().st_size for name in names}
        assert len(list(folder.iterdir())) == len(names)
    assert "void lenet_5_run(" in (tmp_path / "c" / "lenet_5.h").read_text()
    named = horner("export", program, "--to", "c", "-o", tmp_path, "--name", "digits")
    assert named.out.startswith(f"{tmp_path / 'digits.c'}: ")
    assert "'9 lives' cannot name" in horner("export", program, "--to", "c", "-o", "x", "--name", "9 lives").complaint


def test_export_for_a_chip_knows_flash_and_ram_and_the_emulator_agrees(program, data_dir, tmp_path):
    command = ["export", program, "--to", "c", "--target", "cortex-m0plus", "-o", tmp_path]
    known = horner(*command, "--json").json["footprint"]
    assert known["flash"] == sum(layer["code"] + layer["constants"] for layer in known["layers"])
    table = horner(*command).out
    assert "Flash and RAM on cortex-m0plus (-Os), in bytes" in table
    assert re.search(rf"^ *total .* {known['flash']:,} *$", table, re.MULTILINE)
    assert f"RAM {known['ram']:,} = arena {known['arena']:,} + stack {known['stack']['bytes']:,}" in table
    data = ["--data", "mnist", "--data-dir", data_dir]
    emulated = horner("simulate", program, "--target", "cortex-m0plus", *data, "-n", 3, "--json").json
    assert emulated["footprint"] == known
    assert emulated["images"] == 3
    assert 0 < emulated["stack"] <= known["stack"]["bytes"]
    evaluated = horner("simulate", program, "--target", "cortex-m0plus", *data, "-n", 3)
    assert (
        f"stack: {emulated['stack']:,} bytes touched, {known['stack']['bytes']:,} known before running" in evaluated.out
    )
    assert "Instructions, not cycles" in evaluated.out
    assert re.search(r"^accuracy on them: \d+\.\d\d %$", evaluated.out, re.MULTILINE)


def test_an_array_is_modelled_and_what_zeros_save_is_measured_on_images(program, data_dir, tmp_path):
    run = ["simulate", program, "--arch"]
    eyeriss, reuse = (horner(*run, name, "--json").json for name in ("eyeriss", "reuse"))
    assert eyeriss["total"]["additions"] == 0 < reuse["total"]["additions"]
    assert reuse["total"]["macs"] < eyeriss["total"]["macs"]
    assert reuse["total"]["cycles"] < eyeriss["total"]["cycles"]
    assert sum(reuse["total"]["energy"].values()) < sum(eyeriss["total"]["energy"].values())
    assert reuse["total"]["dram_bytes"] == reuse["total"]["dram_bytes_uncoded"]
    data = ["--data", "mnist", "--data-dir", data_dir, "-n", 5]
    coded = horner(*run, "reuse", *data, "--json").json["total"]
    assert coded["dram_bytes"] < coded["dram_bytes_uncoded"]
    table = horner(*run, "reuse", *data).out
    assert f"DRAM {coded['dram_bytes']:,.0f} bytes, {coded['dram_bytes_uncoded']:,.0f} without" in table
    assert "linear3" in table
    small = tmp_path / "small.toml"
    text = (resources.files("horner.hardware") / "arch" / "reuse.toml").read_text()
    small.write_text(text.replace("rows = 12", "rows = 2"))
    complaint = horner(*run, small).complaint
    assert re.search(r"conv\d|linear\d", complaint)
    assert "does not fit the array's rows = 2; enlarge it" in complaint


def test_a_page_compares_the_array_with_and_without_reuse(program, data_dir, tmp_path):
    run = ["simulate", program, "--arch", "eyeriss"]
    page = tmp_path / "new" / "page.html"
    shown = horner(*run, "--report", page)
    assert shown.out == horner(*run).out + f"report: {page}\n"
    assert shown.err == ""
    found = {name: horner(*run[:3], name, "--json").json["total"]["cycles"] for name in ("eyeriss", "reuse")}
    text = page.read_text()
    assert all(f"<td>{cycles:,}</td>" in text for cycles in found.values())
    assert "<h1>lenet-5 on an array of 12x14" in text
    other = tmp_path / "other.html"
    data = ["--data", "mnist", "--data-dir", data_dir, "-n", 5]
    numbers = horner("simulate", program, "--arch", "reuse", *data, "--report", other, "--json").json
    assert numbers["report"] == str(other)
    assert numbers["total"]["cycles"] < found["reuse"]
    assert f"<td>{numbers['total']['cycles']:,}</td>" in other.read_text()


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


def test_the_same_c_is_compiled_for_size_or_for_speed(program, data_dir, tmp_path):
    command = ["export", program, "--to", "c", "--target", "cortex-m4", "-o", tmp_path, "--json", "--optimise"]
    small, fast = (horner(*command, aim).json["footprint"] for aim in ("size", "speed"))
    assert small["flash"] < fast["flash"]
    assert (small["optimise"], fast["optimise"]) == ("-Os", "-O2")
    run = ["simulate", program, "--target", "cortex-m4", "--data", "mnist", "--data-dir", data_dir, "-n", 1, "--json"]
    assert horner(*run, "--optimise", "size").json["footprint"] == small
    assert horner(*run).json["footprint"] == fast


def test_export_for_other_build_systems(program, tmp_path):
    files = horner("export", program, "--to", "c", "--layout", "arduino", "-o", tmp_path / "a", "--json").json["files"]
    assert str(tmp_path / "a" / "src" / "lenet_5.h") in files
    assert "CMakeLists.txt: " in horner("export", program, "--to", "c", "--layout", "cmake", "-o", tmp_path / "c").out


def test_export_of_an_accelerator_and_its_synthesis(program, tmp_path):
    folder = tmp_path / "rtl"
    command = ["export", program, "--to", "rtl", "--pes", "5x2", "-o", folder]
    files = horner(*command, "--json").json["files"]
    assert str(folder / "reuse.v") in files
    assert str(folder / "row_stationary_testbench.v") in files
    assert "--to rtl and --pes go together" in horner(*command[:4], "-o", folder).complaint
    assert "--pes 5: give rows and columns" in horner(*command[:5], "5", "-o", folder).complaint
    assert "do not fit an array of 1 rows; enlarge it" in horner(*command[:5], "1x1", "-o", tmp_path / "x").complaint
    assert not (tmp_path / "x").exists()
    assert "arrays.json: No such file" in horner("synth", tmp_path).complaint
    result = end(start(*command, code="sys.modules['amaranth'] = None"))
    assert result.code == 1
    assert result.err.splitlines() == ["horner: amaranth is not installed: pip install 'horner[rtl]'"]


@pytest.mark.parametrize("module", ["ziglang", "elftools"])
def test_without_the_tools_for_chips_the_c_is_written_and_one_line_says_what_is_missing(module, program, tmp_path):
    command = ["export", program, "--to", "c", "--target", "cortex-m4", "-o", tmp_path]
    result = end(start(*command, code=f"sys.modules['{module}'] = None"))
    assert result.code == 0
    assert (tmp_path / "lenet_5.c").exists()
    (line,) = result.err.splitlines()
    assert re.fullmatch(rf"horner: flash and RAM are not known: .* needs {module}: pip install 'horner\[mcu\]'", line)


@pytest.mark.parametrize(
    ("module", "target", "remedy"),
    [
        ("ziglang", "cortex-m4", r"pip install 'horner\[mcu\]'"),
        ("unicorn", "rv32imc", r"pip install 'horner\[mcu\]'"),
        ("elftools", "cortex-m33", r"pip install 'horner\[mcu\]'"),
        ("wasmtime", "wasm32", "pip install wasmtime"),
    ],
)
def test_without_an_emulator_one_line_says_how_to_get_it(module, target, remedy, program, data_dir):
    command = ["simulate", program, "--target", target, "--data", "mnist", "--data-dir", data_dir, "-n", 1]
    result = end(start(*command, code=f"sys.modules['{module}'] = None"))
    assert (result.code, result.out) == (1, "")
    assert re.fullmatch(rf".* needs {module}: {remedy}", result.complaint)


def test_any_file_name_makes_a_cidentifier():
    assert [identifier(stem) for stem in ("net", "le-net 5", "5", "example", "")] == [
        *("net", "le_net_5", "network_5", "network_example", "network_")
    ]


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


def test_presets_are_listed_and_shown():
    listed = horner("presets").out
    assert all(re.search(rf"^ *{name} ", listed, re.MULTILINE) for name in presets.names())
    assert list(horner("presets", "--json").json) == presets.names()
    assert "fc3: in=linear/21" in horner("presets", "lenet5-demo").out
    assert horner("presets", "lenet").complaint.startswith("no preset 'lenet'; did you mean lenet5")


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


def test_a_folder_of_colour_pictures_gets_a_network_of_three_channels(pictures, tmp_path):
    file = tmp_path / "colours.safetensors"
    command = ["train", "lenet5", "--data", f"folder:{pictures}", "--epochs", 1, "-o", file, "--json"]
    assert horner(*command, "--size", "28x28").json["parameters"] == 61706 + 2 * 6 * 25 - 84 * 8 - 8
    assert horner(*command, "--size", "28x28", "--channels", 1).json["parameters"] == 61706 - 84 * 8 - 8


def test_the_demonstration_compares_every_form(data_dir, tmp_path):
    result = horner("demo", "--data-dir", data_dir, "-o", tmp_path / "demo", "--json")
    report = result.json
    assert report == json.loads((tmp_path / "demo" / "report.json").read_text())
    assert report["identical"]
    assert len({row["accuracy"] for row in report["rows"][2:]}) == 1
    assert (tmp_path / "demo" / "lenet5.horner").stat().st_size == report["rows"][-1]["bytes"]


# what goes wrong


@pytest.fixture
def mistakes(data_dir, dense, program, pictures, tmp_path) -> dict[str, tuple[list[object], str]]:
    """Commands, and what must be said about them."""
    mnist = ["--data", "mnist", "--data-dir", data_dir]
    out = ["-o", tmp_path / "out" / "file"]
    (tmp_path / "text.horner").write_text("hello")
    broken = tmp_path / "broken.horner"
    broken.write_bytes(program.read_bytes()[:-9])
    folder = tmp_path / "plain-file"
    folder.write_text("")
    approximate = ["approximate", "lenet5", *mnist, *out]
    return {
        "data folder": (["eval", program, "--data", "mnist", "--data-dir", folder], f"{folder}, .*is not a folder"),
        "no data folder": (
            ["eval", program, "--data", "mnist", "--data-dir", "/no/such"],
            "/no/such, .*does not exist",
        ),
        "no pictures": (["eval", program, "--data", f"folder:{folder}"], "is not a folder"),
        "set": (["eval", program, "--data", "mnits"], "no data set called 'mnits'; did you mean mnist"),
        "sized set": (["eval", program, *mnist, "--size", "20x20"], "apply to folder:PATH"),
        "model": (["train", "lenet6", *mnist, *out], "no model named 'lenet6'; choose from .*lenet5"),
        "own model": (["train", "no_module:net", *mnist, *out], "no module no_module"),
        "device": (["train", "lenet5", *mnist, *out, "--device", "abacus"], "no device 'abacus'"),
        "layer": ([*approximate, "--from", dense, "--plan", "conv9: afsc"], "conv9 matches no layer.*conv1"),
        "plan": ([*approximate, "--plan", "out=cubic"], "axis out: 'cubic'"),
        "plan file": ([*approximate, "--plan", "no-plan.toml"], "cannot read no-plan.toml"),
        "dense file": ([*approximate, "--from", "nowhere", "--plan", "afsc"], "cannot read nowhere"),
        "trained on": (["train", "lenet5", *mnist, *out, "--from", program], "not a safetensors file"),
        "trained on another": (
            ["train", "lenet5-caffe", *mnist, *out, "--from", dense],
            "tensor .* of shape .* is none of the model's|is missing|the model wants",
        ),
        "other dense": ([*approximate, "--from", program, "--plan", "afsc"], "not a safetensors file"),
        "colours": (
            ["eval", program, "--data", f"folder:{pictures}"],
            f"{program} reads images of 1x28x28 .* are 3x32x32; --size 28x28 --channels 1 converts them",
        ),
        "dense and colours": (
            ["approximate", "lenet5", "--data", f"folder:{pictures}", "--from", dense, "--plan", "afsc", *out],
            "the trained lenet5 reads images of 1x28x28 .* are 3x32x32",
        ),
        "classes": (
            ["eval", program, "--data", f"folder:{pictures}", "--size", "28x28", "--channels", 1],
            "tells 10 classes apart, folder:.* has 2",
        ),
        "no file": (["account", "nowhere.horner"], "cannot read nowhere.horner: No such file"),
        "cut file": (["account", broken], f"{broken} is damaged or cut off"),
        "safetensors": (["account", dense], f"{dense} is not a .horner file: it looks like safetensors"),
        "text": (["export", tmp_path / "text.horner", "--to", "c", *out], "it looks like text"),
        "train output": (["train", "lenet5", *mnist, "-o", folder / "x"], f"cannot write {folder}/x: Not a directory"),
        "output": ([*approximate[:-1], folder / "x", "--plan", "afsc"], f"cannot write {folder}/x: Not a directory"),
        "output folder": ([*approximate[:-1], tmp_path, "--plan", "afsc"], f"cannot write {tmp_path}: Is a directory"),
        "export": (["export", program, "--to", "c", "-o", folder], f"cannot write {folder}/lenet_5.c: "),
        "target": (
            ["export", program, "--to", "c", "--target", "pdp11", *out],
            "no target 'pdp11'; choose from cortex-m0plus",
        ),
        "instruction set": (["bench", program, "--isa", "sse9"], "no instruction set 'sse9'; there are .*portable"),
        "simulated target": (
            ["simulate", program, "--target", "pdp11", *mnist],
            "no target 'pdp11'; choose from .*wasm32",
        ),
        "array": (["simulate", program, "--arch", "tpu"], "no architecture 'tpu'; there are eyeriss, reuse, or give"),
        "page": (["simulate", program, "--arch", "reuse", "--report", tmp_path / "page.pdf"], "name ends in .html"),
        "page in a file": (
            ["simulate", program, "--arch", "reuse", "--report", folder / "page.html"],
            "cannot write .*page.html: Not a directory",
        ),
        "no accelerator, whatever the images": (
            ["simulate", program, "--pes", "0x3", "--data", "mnist", "--data-dir", "/no/such"],
            "0x3 PEs; at least 1x1",
        ),
        "simulated colours": (
            ["simulate", program, "--target", "cortex-m4", "--data", f"folder:{pictures}"],
            f"{program} reads images of 1x28x28 .* are 3x32x32; --size 28x28 --channels 1 converts them",
        ),
        "demo": (["demo", "--data-dir", data_dir, "-o", folder], f"{folder}"),
    }


def test_a_mistake_is_one_line_and_exit_1(mistakes, tmp_path):
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    for name, (command, says) in mistakes.items():
        result = horner(*command)
        assert (result.code, result.out) == (1, ""), (name, result)
        assert re.search(says, result.complaint), (name, result.complaint)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


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


def test_standard_output_that_cannot_be_written_is_one_line(program):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "horner", "account", program, "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "horner: No space left on device\n")


# interruptions and full disks


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists(), process.communicate()


def epochs(result: Result) -> Iterator[int]:
    return (int(number) for number in re.findall(r"^epoch (\d+)/", result.err, re.MULTILINE))


def test_ctrl_c_is_one_line_and_the_same_command_goes_on(data_dir, tmp_path):
    output = tmp_path / "dense.safetensors"
    output.write_bytes(b"former")
    command = [*("train", "lenet5", "--data", "mnist", "--data-dir", data_dir, "--epochs", 30), "-o", output, "--json"]
    process = start(*command)
    checkpoint = tmp_path / "dense.safetensors.checkpoint"
    wait_for(checkpoint, process)
    process.send_signal(signal.SIGINT)
    stopped = end(process)
    assert (stopped.code, stopped.out) == (130, "")
    done = list(epochs(stopped))
    assert 1 <= len(done) < 30
    last = stopped.err.splitlines()[-1]
    assert re.fullmatch(
        rf"horner: interrupted in epoch \d+ of 30; run the same command again to continue from {checkpoint}", last
    )
    assert output.read_bytes() == b"former"
    again = horner(*command)
    assert again.json["epochs"] == 30
    assert [*done, *epochs(again)] == list(range(1, 31))
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_ctrl_c_while_compiling_is_one_line(program, data_dir, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && exit\nkill -INT $PPID\nsleep 5\n')
    compiler.chmod(0o755)
    environment = os.environ | {"CC": str(compiler), "HORNER_CACHE": str(tmp_path / "cache")}
    command = ["eval", program, "--data", "mnist", "--data-dir", data_dir, "--backend", "c"]
    result = end(start(*command, code="sys.modules['ziglang'] = None", env=environment))
    assert (result.code, result.out, result.complaint) == (130, "", "interrupted")
    assert list((tmp_path / "cache" / "c").iterdir()) == []


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


@contextlib.contextmanager
def full_disk(left: int = 4096) -> Iterator[None]:
    """Let no file grow beyond some bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line_and_keeps_the_former_file(data_dir, dense, program, tmp_path):
    output = tmp_path / "lenet_5.c"
    output.write_bytes(b"former")
    training = ["train", "lenet5", "--data", "mnist", "--data-dir", data_dir, "--epochs", 1, "-o", output]
    for command, file in {
        (*approximating(data_dir, dense), "-o", output): output,
        tuple(training): output.with_name("lenet_5.c.checkpoint"),
        ("export", program, "--to", "c", "-o", tmp_path): output,
        ("export", program, "--to", "safetensors", "-o", tmp_path): tmp_path / "lenet-5.safetensors",
    }.items():
        with full_disk():
            result = horner(*command, "--json")
        assert (result.code, result.out) == (1, "")
        assert result.err.splitlines()[-1] == f"horner: cannot write {file}: File too large"
        assert output.read_bytes() == b"former"
        assert list(tmp_path.iterdir()) == [output]
