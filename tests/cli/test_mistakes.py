import contextlib
import re
import resource
from collections.abc import Iterator

import pytest
from commands import approximating, horner


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
        "no teacher": (["finetune", program, *mnist, *out, "--teacher", "zoo:lenet6"], "the zoo has no 'lenet6'"),
        "teacher of others": (
            ["finetune", program, *mnist, *out, "--teacher", "zoo:resnet20"],
            "teacher 1 reads images of 3x32x32 .* are 1x28x28",
        ),
        "no record": (
            ["finetune", program, *mnist, *out, "--former", folder],
            f"{folder} is no record of a run",
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
