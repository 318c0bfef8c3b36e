import re

from commands import horner

from horner import record, zoo


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
