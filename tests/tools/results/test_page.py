from pathlib import Path

import msgspec
import pytest
from recorded import run

from horner import record
from tools.results import curves, page, zoo
from tools.results.evidence import gather

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path):
    for name in ("rows.toml", "published.toml"):
        (tmp_path / name).write_bytes((ROOT / "results" / name).read_bytes())
    return tmp_path


def test_the_committed_page_and_pictures_are_what_the_committed_results_make(tmp_path):
    evidence = gather(ROOT / "results")
    text = (ROOT / "docs" / "results.md").read_text()
    assert page.insert(text, page.write(evidence)) == text, "run python -m tools.results"
    drawn = {path.name: path.read_bytes() for path in curves.draw(evidence, tmp_path)}
    images = ROOT / "docs" / "images"
    assert drawn == {path.name: path.read_bytes() for path in images.glob("results-*")}, "run python -m tools.results"
    assert all(f"(images/{name})" in text for name in drawn)


def test_what_is_missing_is_shown(folder):
    text = page.write(gather(folder))
    assert text.count("| missing |") == sum(len(row.targets) for row in gather(folder).rows)
    assert "No runs of the preset `vgg16` are recorded yet." in text


def test_a_target_is_met_by_medians_and_few_seeds_are_said(folder):
    for seed, accuracy in enumerate((98.4, 98.2)):
        record.write(folder / f"{seed}.json", run("lenet5", seed, accuracy=accuracy))
    text = page.write(gather(folder))
    assert "| **met**: `lenet5`, byte ratio 310.0x, drop 0.90 (2 seeds) |" not in text
    assert "not met: `lenet5`, byte ratio 310.0x, drop 0.90 (2 seeds)" in text
    record.write(folder / "1.json", run("lenet5", 1, accuracy=98.5))
    text = page.write(gather(folder))
    assert "**met**: `lenet5`, byte ratio 310.0x, drop 0.75 (2 seeds)" in text
    assert "- byte ratio ≥ 300x, drop < 0.9: `lenet5` does (2 seeds; 3 are wanted)." in text
    assert "- coefficient ratio ≥ 1211.3x, drop < 0.9: `lenet5` does not, coefficient ratio 50.0x." in text
    assert f"| retraining, epochs of dense training | {run('lenet5', 0).cost.epochs:.2f}x |" in text
    assert "horner train --preset lenet5 --seed 1\nhorner approximate --preset lenet5 --seed 1\n" in text


def test_runs_under_former_settings_and_on_parts_of_a_set_are_marked(folder):
    made = run("lenet5", 0)
    changed = msgspec.structs.replace(made, complete=False, recipe=msgspec.structs.replace(made.recipe, plan="afsc"))
    record.write(folder / "0.json", changed)
    text = page.write(gather(folder))
    assert "`lenet5` has other settings now than when seed 0 was recorded." in text
    assert "`lenet5` was run on a part of the data set" in text


def test_curves_without_retraining_are_drawn_and_their_best_points_listed(folder, tmp_path):
    points = [("Horner", "a", 100, 90.0), ("k-means", "b", 100, 80.0), ("Horner", "c", 50, 85.0)]
    contest = {
        "model": "resnet20",
        "data": "cifar-10",
        "dense": {"accuracy": 91.0, "bytes": 1000},
        "calibration_images": 1000,
        "command": "python -m benchmarks.no_retraining",
        "points": [
            {
                "method": m,
                "setting": s,
                "bytes": b,
                "byte_ratio": 1000 / b,
                "coefficient_ratio": 2,
                "accuracy": a,
                "drop": 0,
            }
            for m, s, b, a in points
        ],
    }
    (folder / "no-retraining-resnet20.json").write_bytes(msgspec.json.encode(contest))
    evidence = gather(folder)
    text = page.write(evidence)
    section = text.partition("## No retraining")[2]
    assert "| Horner | `c` | 50 | 20.0x | 2.0x | 85.00 % | 0.00 |\n| Horner | `a` | 100 |" in section
    assert "`b`" not in section
    assert (tmp_path / "results-no-retraining-resnet20.svg") in curves.draw(evidence, tmp_path)


def test_a_page_without_its_two_lines_is_refused():
    with pytest.raises(ValueError, match="must have the lines"):
        page.insert("nothing", "")


def test_the_zoo_takes_what_validates_best_by_its_content(folder, tmp_path):
    shelf, home = tmp_path / "runs" / "deep", tmp_path / "zoo"
    shelf.mkdir(parents=True)
    home.mkdir()
    (home / "former.horner").write_bytes(b"former")
    for seed, validation in enumerate((98.0, 98.4, 98.4)):
        (shelf / f"any{seed}.horner").write_bytes(bytes([seed]))
        made = run("lenet5", seed, validation=validation, accuracy=99.0 - seed)
        made = msgspec.structs.replace(made, sha256=record.sha256(shelf / f"any{seed}.horner"))
        record.write(folder / f"{seed}.json", made)
    evidence = gather(folder)
    zoo.fill(evidence, [tmp_path / "runs"], home)
    assert sorted(path.name for path in home.iterdir()) == ["lenet5.horner", "zoo.json"]
    assert (home / "lenet5.horner").read_bytes() == bytes([1])
    index = msgspec.json.decode((home / "zoo.json").read_bytes())
    assert (index["lenet5"]["seed"], index["lenet5"]["accuracy"]) == (1, 98.0)
    assert len(zoo.fill(evidence, [], home)) == 2  # it has its files already
