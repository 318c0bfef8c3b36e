import shutil
from pathlib import Path

import msgspec
import pytest
from recorded import run

from horner import presets, record
from horner.errors import FileError
from tools.results.evidence import METRICS, Need, follows, gather

RESULTS = Path(__file__).parents[3] / "results"


@pytest.fixture
def folder(tmp_path):
    for name in ("rows.toml", "published.toml"):
        shutil.copy(RESULTS / name, tmp_path)
    return tmp_path


def test_every_preset_with_a_row_has_one_that_is_there(folder):
    rows = {row.name for row in gather(folder).rows}
    assert {presets.get(name).row for name in presets.names()} - {None} <= rows


def test_runs_are_gathered_by_preset_in_the_order_of_seeds(folder):
    for seed in (2, 0, 1):
        record.write(folder / f"x{seed}.json", run("lenet5", seed))
    first, *others = gather(folder).runs["lenet5"]
    assert [r.seed for r in first.runs] == [0, 1, 2]
    assert not any(group.runs for group in others)


def test_two_runs_of_one_seed_and_runs_of_no_row_are_refused(folder):
    record.write(folder / "a.json", run("lenet5", 0))
    record.write(folder / "b.json", run("lenet5", 0))
    with pytest.raises(FileError, match=r"b\.json and .*a\.json are both of preset lenet5 with seed 0"):
        gather(folder)
    record.write(folder / "b.json", msgspec.structs.replace(run("lenet5", 1), preset="lenet5-demo"))
    with pytest.raises(FileError, match="preset lenet5-demo is of no row"):
        gather(folder)


def test_a_need_is_of_the_median_and_its_bound_is_exact():
    need = Need.parse("drop < 0.9")
    drops = [0.5, 0.9, 2.0]
    runs = [run("lenet5", seed, accuracy=99.2 - drop) for seed, drop in enumerate(drops)]
    assert not need.met(runs)
    assert need.met(runs[:2])
    assert need.shortfall(runs) == "drop 0.90"
    assert METRICS["drop"].summary(runs) == "0.90 (0.50 to 2.00)"
    assert METRICS["multiplications_saved"].summary(runs) == "90.0 %"
    assert Need.parse("file_bytes <= 1520").text == "bytes ≤ 1,520"
    assert Need.parse("error <= 1.0").text == "error ≤ 1.0 %"
    for nonsense in ("drop = 1", "weight < 1", "drop <"):
        with pytest.raises(FileError, match="is not one of"):
            Need.parse(nonsense)


@pytest.mark.parametrize("name", presets.names())
def test_a_run_follows_its_preset_until_that_changes(name):
    preset, made = presets.get(name), run(name, 3)
    assert follows(made, preset)
    other = msgspec.structs.replace
    assert not follows(made, other(preset, plan="afsc"))
    assert not follows(made, other(preset, dense={**preset.dense, "lr": 1.0}))
    assert not follows(made, other(preset, retraining=other(preset.retraining, steps=7)))
    assert not follows(made, other(preset, retraining=other(preset.retraining, distill=0.1)))
    assert not follows(other(made, dense=None), preset)
    tuning = presets.Finetune(epochs=3, teachers=("zoo:lenet5",))
    assert not follows(made, other(preset, finetuning=tuning))
    tuned = other(preset, finetuning=tuning)
    again = run(name, 3, finetuning=tuning)
    assert follows(again, tuned)
    assert not follows(again, preset)
    assert not follows(again, other(preset, finetuning=other(tuning, teachers=())))
    assert not follows(again, other(preset, finetuning=other(tuning, epochs=99)))
    refined = other(tuning, real={"epochs": 2})
    assert not follows(again, other(preset, finetuning=refined))
    assert follows(run(name, 3, finetuning=refined), other(preset, finetuning=refined))
