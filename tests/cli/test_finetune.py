import shutil

from commands import horner

from horner import load, presets


def test_a_file_is_trained_on_from_itself_alone(data_dir, program, tmp_path):
    lent, output = ["--data", "mnist", "--data-dir", data_dir, "--json"], tmp_path / "more.horner"
    command = ["finetune", program, "-o", output, "--epochs", 3, "--lr", 0.01, "--teacher", program, *lent]
    made = horner(*command).json
    assert made["accuracy_before"] == horner("eval", program, *lent).json["accuracy"]
    assert made["accuracy"] == horner("eval", output, *lent).json["accuracy"]
    assert made["epochs"] == 3
    assert made["file_bytes"] == output.stat().st_size
    then, now = (load(file).convolutions() for file in (program, output))
    assert [conv.weights.bits for _, conv in now] == [conv.weights.bits for _, conv in then]
    held = [horner("eval", file, *lent, "--split", "validation").json["accuracy"] for file in (program, output)]
    assert held[1] >= held[0]
    assert list(tmp_path.iterdir()) == [output]


def test_a_preset_says_how_if_it_has_a_say(program, tmp_path):
    refused = horner("finetune", program, "-o", tmp_path / "more.horner", "--preset", "lenet5-demo")
    assert refused.code == 2
    assert "lenet5-demo is a recipe without fine-tuning" in refused.complaint
    shown = horner("presets", "vgg16")
    tuning = presets.get("vgg16").finetuning
    assert f"epochs={tuning.epochs}" in next(line for line in shown.out.splitlines() if line.startswith("finetuning:"))


def test_a_run_without_the_record_before_it_is_not_recorded(data_dir, program, tmp_path):
    file = shutil.copy(program, tmp_path / "m.horner")
    command = ["finetune", file, "--data", "mnist", "--data-dir", data_dir, "-o", tmp_path / "more.horner"]
    result = horner(*command, "--record", tmp_path / "runs")
    assert result.code == 1
    assert result.complaint.endswith(f"give the record of the one that made {file} too (--former)")
    assert list(tmp_path.iterdir()) == [tmp_path / "m.horner"]
