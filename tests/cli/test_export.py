import re

import pytest
from commands import end, horner, start

from horner.cli.options import identifier


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


def test_any_file_name_makes_a_cidentifier():
    assert [identifier(stem) for stem in ("net", "le-net 5", "5", "example", "")] == [
        *("net", "le_net_5", "network_5", "network_example", "network_")
    ]
