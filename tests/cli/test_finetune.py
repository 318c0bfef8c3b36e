import msgspec
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


def test_a_preset_says_how_if_it_has_a_say(data_dir, program, tmp_path, monkeypatch):
    output = tmp_path / "more.horner"
    command = ["finetune", program, "-o", output, "--preset", "lenet5-demo", "--data-dir", data_dir, "--json"]
    refused = horner(*command)
    assert refused.code == 2
    assert "lenet5-demo is a recipe without fine-tuning" in refused.complaint
    tuning = presets.Finetune(epochs=2, distill=0.0, settings={"batch_size": 50})
    recipe = msgspec.structs.replace(presets.get("lenet5-demo"), finetuning=tuning)
    monkeypatch.setattr(presets, "_all", lambda: {"lenet5-demo": recipe})
    assert "finetuning: epochs=2 distill=0.0 settings={'batch_size': 50}" in horner("presets", "lenet5-demo").out
    assert horner(*command).json["epochs"] == 2
    assert horner(*command, "--epochs", 1).json["epochs"] == 1
    tuning = msgspec.structs.replace(tuning, validation=0)
    recipe = msgspec.structs.replace(recipe, finetuning=tuning)
    assert "finetuned: 2 epochs" in horner(*command).err
    assert "of the validation images after 2 epochs" in horner(*command, "--validation", 100).err


def test_a_run_without_the_record_before_it_is_not_recorded(program, tmp_path):
    result = horner("finetune", program, "--data", "mnist", "-o", tmp_path / "m.horner", "--record", tmp_path / "runs")
    assert result.code == 2
    assert "Missing option '--former'" in result.complaint
    assert list(tmp_path.iterdir()) == []


def test_coefficients_kept_before_rounding_are_what_it_begins_with(data_dir, tmp_path):
    lent = ["--data", "mnist", "--data-dir", data_dir, "--json"]
    file, real, record, more = (tmp_path / name for name in ("m.horner", "m.real", "m.json", "more.horner"))
    approximate = ["approximate", "lenet5", "--plan", "fc1: in=linear/4", "-o", file, "--epochs", 2, *lent]
    assert horner(*approximate, "--keep-real", real, "--record", record).json["epochs"] == 2
    begin = ["finetune", file, "-o", more, "--real", real, "--epochs", 1, *lent]
    assert "Missing option '--former', the record that --real goes on with" in horner(*begin).complaint
    assert horner(*begin, "--former", record, "--real-epochs", 1).json["epochs"] == 2
    assert horner(*begin, "--former", record, "--plan", "bits=4; fc1: in=linear/4").json["epochs"] == 1
    assert {conv.weights.bits for _, conv in load(more).convolutions()} == {4}
