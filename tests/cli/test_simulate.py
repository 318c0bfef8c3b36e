import re
from importlib import resources

import pytest
from commands import end, horner, start


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
