import msgspec
import pytest

from horner import record
from horner.errors import FileError
from horner.presets import Preset
from horner.record import Cost, Record
from horner.training.spent import Machine, Spent

MACHINE = Machine(processor="CPU", cores=2, threads=1, device="cpu", torch="2")


def run(epochs=4, seconds=10.0, machine=MACHINE) -> Spent:
    return Spent(
        epochs=epochs, best_epoch=1, seconds=seconds, cpu_seconds=2 * seconds, machine=machine, settings={"lr": 0.1}
    )


@pytest.fixture
def made() -> Record:
    return Record(
        command="horner approximate",
        dense_command="horner train",
        preset=None,
        recipe=Preset(model="lenet5", data="mnist", plan="afsc", batch_norm=True, dense={"epochs": 4}),
        seed=0,
        complete=True,
        images={"train": 1, "validation": 1, "test": 1},
        dense=run(),
        retraining={"real": run(3), "quantised": run(1)},
        cost=record.cost(run(), {"real": run(3), "quantised": run(1)}),
        accuracy={"dense": record.Accuracy(validation=99.0, test=98.0)},
        drop=0.5,
        account={"file_bytes": 3},
        sha256="0" * 64,
    )


def test_a_record_comes_back_as_it_was_written(made, tmp_path):
    record.write(tmp_path / "r.json", made)
    assert record.read(tmp_path / "r.json") == made
    assert (tmp_path / "r.json").read_text().endswith("}\n")


def test_retraining_costs_what_its_stages_cost_together():
    assert record.cost(run(4, 10.0), {"real": run(2, 5.0), "quantised": run(1, 10.0)}) == Cost(0.75, 1.5, 1.5)


def test_a_dense_network_that_was_trained_on_cost_all_of_its_runs():
    dense = msgspec.structs.replace(run(2, 5.0), before=run(6, 15.0))
    assert [each.epochs for each in dense.runs] == [6, 2]
    assert record.cost(dense, {"real": run(4, 10.0)}) == Cost(0.5, 0.5, 0.5)


def test_times_of_different_machines_are_not_compared():
    other = run(2, 5.0, Machine(processor="other", cores=2, threads=1, device="cpu", torch="2"))
    assert record.cost(run(), {"real": other}) == Cost(0.5, None, None)


def test_without_retraining_or_without_the_dense_network_s_cost_there_is_none():
    assert record.cost(run(), {}) is None
    assert record.cost(None, {"real": run()}) is None


def test_what_is_no_record_is_refused(tmp_path):
    file = tmp_path / "r.json"
    for text in ("", "[]", '{"command": 3}'):
        file.write_text(text)
        with pytest.raises(FileError, match=r"r\.json is no record of a run"):
            record.read(file)
