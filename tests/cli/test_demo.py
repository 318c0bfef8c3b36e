import json

from commands import horner


def test_the_demonstration_compares_every_form(data_dir, tmp_path):
    result = horner("demo", "--data-dir", data_dir, "-o", tmp_path / "demo", "--json")
    report = result.json
    assert report == json.loads((tmp_path / "demo" / "report.json").read_text())
    assert report["identical"]
    assert len({row["accuracy"] for row in report["rows"][2:]}) == 1
    assert (tmp_path / "demo" / "lenet5.horner").stat().st_size == report["rows"][-1]["bytes"]
