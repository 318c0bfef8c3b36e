import dataclasses
from pathlib import Path

import numpy as np
import pytest
from digits import digits
from msgspec.structs import replace

from horner import models
from horner.data import DataSet
from horner.errors import DataError, FileError, ModelError, PlanError, TrainingError
from horner.evaluation import accuracy, runner
from horner.plan import Plan
from horner.presets import Finetune
from horner.program.file import load
from horner.record import Record, Recording, read, sha256
from horner.training import evaluate
from horner.training.checkpoint import parse_checkpoint, save_checkpoint
from horner.workflow import Trained, approximate_to_file, build, finetune_to_file, train_dense

GENTLE = Plan.parse("fc1: out=linear/4 row=quadratic; fc2: in=linear/4")
ONE_EPOCH = {"epochs": 1, "device": "cpu"}
STILL = {"epochs": 1, "lr": 1e-9}


@pytest.fixture(scope="session")
def data() -> DataSet:
    return digits()


@pytest.fixture(scope="session")
def dense(data, tmp_path_factory) -> tuple[Path, dict]:
    file = tmp_path_factory.mktemp("dense") / "lenet5.safetensors"
    return file, train_dense(
        "lenet5", data, file, batch_norm=True, changes={"epochs": 4, "device": "cpu"}, command="horner train"
    )


@pytest.fixture
def trained(dense) -> Trained:
    return models.load(dense[0])


def test_a_dense_network_is_trained_written_and_measured(data, dense, trained):
    file, report = dense
    model, info = trained
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert report["epochs"] == 4
    assert report["parameters"] == sum(p.numel() for p in model.parameters())
    assert report["accuracy"] == evaluate(model, data.test, data.mean, data.std) > 50
    assert report["validation_accuracy"] == info.accuracy == evaluate(model, data.validation, data.mean, data.std)
    assert (info.shape, info.classes, info.batch_norm) == ((1, 28, 28), 10, True)


def test_training_goes_on_from_a_trained_network_and_knows_what_all_of_it_took(data, trained, tmp_path):
    before, file = trained[1], tmp_path / "more.safetensors"
    changes = {"epochs": 1, "lr": 1e-9, "device": "cpu"}
    report = train_dense("lenet5", data, file, trained=trained, changes=changes, command="horner train --from")
    assert abs(report["validation_accuracy"] - before.accuracy) < 3  # so small a step changes little but the norms
    info = models.load(file)[1]
    assert info.spent.before == before.spent
    assert [run.epochs for run in info.spent.runs] == [4, 1]
    assert info.command == "horner train && horner train --from"
    assert (info.shape, info.classes, info.batch_norm) == (before.shape, before.classes, before.batch_norm)


def test_the_report_is_of_the_program_in_the_file(data, trained, tmp_path):
    output, tables, lines = tmp_path / "m.horner", [], []
    report = approximate_to_file(
        "lenet5", data, GENTLE, output, trained=trained, epochs=0, show=tables.append, say=lines.append
    )
    assert report["file_bytes"] == output.stat().st_size
    assert report["accuracy"] == accuracy(runner(load(output), "dense")(data.test.images), data.test.labels)
    assert report["dense_accuracy"] == evaluate(trained[0], data.test, data.mean, data.std)
    assert report["drop"] == report["dense_accuracy"] - report["accuracy"] < 20
    assert report["byte_ratio"] == 4 * report["dense_parameters"] / output.stat().st_size
    assert len(tables) == 1
    assert lines
    assert [path.name for path in tmp_path.iterdir()] == ["m.horner"]


def test_a_recorded_run_has_every_accuracy_cost_and_number(data, trained, tmp_path):
    output, file = tmp_path / "m.horner", tmp_path / "m.json"
    report = approximate_to_file(
        *("lenet5", data, GENTLE, output),
        trained=trained,
        epochs=3,
        retraining={"quantised": {"epochs": 2}},
        changes={"seed": 3, "device": "cpu", "batch_size": 64},
        recording=Recording(file, "horner approximate"),
    )
    run = read(file)
    assert set(run.accuracy) == {"dense", "approximated", "reference", "c"}
    assert run.accuracy["c"] == run.accuracy["reference"]
    assert run.accuracy["reference"].test == report["accuracy"]
    assert run.accuracy["dense"].validation == trained[1].accuracy
    assert run.drop == round(report["drop"], 4)
    assert run.sha256 == sha256(output)
    assert run.account["byte_ratio"] == report["byte_ratio"]
    assert run.dense == trained[1].spent
    assert run.dense_command == "horner train"
    assert [stage.epochs for stage in run.retraining.values()] == [1, 2]
    assert all(min(stage.seconds, stage.cpu_seconds) > 0 for stage in (run.dense, *run.retraining.values()))
    assert run.cost.epochs == 0.75
    assert (run.seed, run.complete, run.images["test"]) == (3, False, 200)
    assert run.recipe.dense == {"batch_size": 64}
    assert run.recipe.retraining.quantised == {"epochs": 2}
    assert Plan.parse(run.recipe.plan) == GENTLE
    assert str(Path.home()) not in file.read_text()
    assert str(tmp_path) not in file.read_text()


def test_nothing_that_is_made_depends_on_the_test_split(data, trained, tmp_path):
    other = dataclasses.replace(data, test=dataclasses.replace(data.test, labels=(data.test.labels + 1) % 10))
    for name, images in (("a", data), ("b", other)):
        approximate_to_file("lenet5", images, GENTLE, tmp_path / name, trained=trained, epochs=2, changes={"seed": 3})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_interrupted_approximation_goes_on_without_repeating_a_stage(data, tmp_path, capsys):
    def run(output: Path, stop: str = "never") -> None:
        def say(line: str) -> None:
            if line.startswith(stop):
                raise KeyboardInterrupt

        approximate_to_file("lenet5", data, GENTLE, output, batch_norm=True, epochs=2, changes=ONE_EPOCH, say=say)

    run(tmp_path / "unbroken.horner")
    for stage in ("dense:", "real:"):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "m.horner", stage)
    assert not (tmp_path / "m.horner").exists()
    capsys.readouterr()
    run(tmp_path / "m.horner")
    assert capsys.readouterr().err.count("epoch ") == 1
    assert (tmp_path / "m.horner").read_bytes() == (tmp_path / "unbroken.horner").read_bytes()
    kept = {f"{name}.{suffix}" for name in ("m", "unbroken") for suffix in ("horner", "dense.safetensors")}
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_record_goes_on_with_the_file_that_is_trained_on(data, trained, tmp_path):
    output, file, more = (tmp_path / name for name in ("m.horner", "m.json", "more.horner"))
    first = Recording(file, "horner approximate")
    approximate_to_file("lenet5", data, GENTLE, output, trained=trained, epochs=2, recording=first)
    former, tuning = read(file), Finetune(epochs=2, teachers=("zoo:lenet5",), settings={"batch_size": 32})
    then = Recording(tmp_path / "more.json", "horner finetune")
    with pytest.raises(FileError, match=r"give the record of the one that made .*m\.horner too \(--former\)"):
        finetune_to_file(output, data, tuning, more, recording=Recording(tmp_path / "more.json"))
    other = dataclasses.replace(data, name="letters")
    with pytest.raises(FileError, match=r"a record is of one set of images: .* made from digits, not letters"):
        finetune_to_file(output, other, tuning, more, former=former, recording=then)
    changes = {"device": "cpu", "seed": 1}
    report = finetune_to_file(output, data, tuning, more, changes=changes, former=former, recording=then)
    run = read(then.path)
    assert report["accuracy_before"] == former.accuracy["reference"].test
    assert run.accuracy["reference"] == run.accuracy["c"]
    assert run.accuracy["reference"].test == report["accuracy"]
    assert run.accuracy["reference"].validation >= former.accuracy["reference"].validation
    assert run.accuracy["dense"] == former.accuracy["dense"]
    assert run.drop == round(run.accuracy["dense"].test - report["accuracy"], 4)
    assert list(run.retraining) == ["real", "quantised", "finetuned"]
    assert run.retraining["finetuned"].settings["batch_size"] == 32
    assert run.cost.epochs == 1.0
    assert run.command == "horner approximate && horner finetune"
    assert run.recipe.finetuning == tuning
    assert (run.sha256, run.account["file_bytes"]) == (sha256(more), more.stat().st_size)
    with pytest.raises(FileError, match="is that of another file than"):
        finetune_to_file(more, data, tuning, output, former=former)
    again = Recording(tmp_path / "again.json", "horner finetune")
    with pytest.raises(FileError, match=r"more\.horner was fine-tuned already, and a record tells of one fine-tuning"):
        finetune_to_file(more, data, tuning, output, former=run, recording=again)
    assert {path.name for path in tmp_path.iterdir()} == {"m.horner", "m.json", "more.horner", "more.json"}


@pytest.fixture(scope="module")
def kept(data, dense, tmp_path_factory) -> tuple[Path, Record, Path]:
    """A file, the record of its run, and its coefficients before they were rounded; the last stage moved none."""
    folder = tmp_path_factory.mktemp("kept")
    output, file, real = (folder / name for name in ("m.horner", "m.json", "m.real"))
    first, still = Recording(file, "horner approximate"), {"quantised": STILL}
    settings = {"trained": models.load(dense[0]), "recording": first, "real": real, "retraining": still}
    with pytest.raises(TrainingError, match="without retraining no coefficients"):
        approximate_to_file("lenet5", data, GENTLE, output, **settings, epochs=0)
    approximate_to_file("lenet5", data, GENTLE, output, **settings, epochs=2)
    assert {path.name for path in folder.iterdir()} == {path.name for path in (output, file, real)}
    return output, read(file), real


def test_a_file_is_trained_on_from_what_its_coefficients_were_before_they_were_rounded(data, kept, tmp_path):
    output, former, real = kept
    more, then = tmp_path / "more.horner", Recording(tmp_path / "more.json", "horner finetune")
    tuning = Finetune(epochs=1, distill=1.0, settings=STILL, real=STILL)
    changes = {"device": "cpu", "seed": 1}
    report = finetune_to_file(output, data, tuning, more, changes=changes, former=former, real=real, recording=then)
    run = read(then.path)
    assert report["epochs"] == 2
    assert list(run.retraining) == ["real", "quantised", "refined", "finetuned"]
    assert run.retraining["refined"].settings["optimizer"] == "muon"
    assert run.recipe.finetuning == tuning
    # neither stage moved a coefficient after those of the first run: once they are rounded alike, they are the same
    for split in ("validation", "test"):
        was, now = (getattr(of.accuracy["approximated"], split) for of in (former, run))
        assert abs(was - now) < 3
    before, after = (
        np.concatenate([conv.weights.core.ravel() for _, conv in load(path).convolutions()]) for path in (output, more)
    )
    assert np.mean(before != after) < 0.01
    assert {path.name for path in tmp_path.iterdir()} == {more.name, then.path.name}


def test_the_same_real_coefficients_are_rounded_to_other_bits(data, kept, tmp_path):
    output, former, real = kept
    more, then = tmp_path / "more.horner", Recording(tmp_path / "more.json", "horner finetune")
    fewer = "bits=2; fc1: out=linear/4 row=quadratic; fc2: in=linear/4"
    tuning = Finetune(epochs=1, distill=1.0, settings=STILL, real={}, plan=fewer)
    finetune_to_file(output, data, tuning, more, former=former, real=real, recording=then)
    run = read(then.path)
    assert {conv.weights.bits for _, conv in load(more).convolutions()} == {2}
    assert list(run.retraining) == ["real", "quantised", "finetuned"]
    assert run.recipe == replace(former.recipe, finetuning=tuning)
    assert run.accuracy["approximated"] == former.accuracy["approximated"]
    # what was asked for is written, although it is worse
    assert run.accuracy["reference"].validation < former.accuracy["reference"].validation
    assert more.stat().st_size < 0.4 * output.stat().st_size


@pytest.mark.parametrize(
    ("plan", "exact"),
    [("fc1: out=linear/4; fc2: in=linear/2", True), ("fc1: out=linear/8 row=quadratic; fc2: in=constant/4", False)],
)
def test_real_coefficients_go_on_along_other_axes(data, kept, tmp_path, plan, exact):
    output, former, real = kept
    more, then = tmp_path / "more.horner", Recording(tmp_path / "more.json", "horner finetune")
    tuning = Finetune(epochs=1, distill=1.0, settings=STILL, real={}, plan=plan)
    finetune_to_file(output, data, tuning, more, former=former, real=real, recording=then)
    run = read(then.path)
    layers = zip(("conv1", "conv2", "fc1", "fc2", "fc3"), load(more).convolutions(), strict=True)
    for name, (_, conv) in layers:
        assert conv.weights.axes == Plan.parse(plan).layer(name).axes(conv.weights.shape), name
    assert (run.account["coefficients"] > former.account["coefficients"]) is exact
    was, now = former.accuracy["approximated"], run.accuracy["approximated"]
    assert (now == was) is exact


def test_the_last_epochs_may_be_trained_on_all_images(data, kept, tmp_path):
    output, former, _ = kept
    more, then = tmp_path / "more.horner", Recording(tmp_path / "more.json", "horner finetune")
    tuning = Finetune(epochs=1, settings={"lr": 1.0}, validation=0)  # ruinous, but there is nothing to tell by
    finetune_to_file(output, digits(train=800, validation=0), tuning, more, former=former, recording=then)
    run = read(then.path)
    assert run.accuracy["reference"].validation is None
    assert run.accuracy["reference"].test < former.accuracy["reference"].test
    assert run.accuracy["c"] == run.accuracy["reference"]
    assert run.accuracy["dense"] == former.accuracy["dense"]
    assert run.recipe.finetuning.validation == 0


def test_real_coefficients_of_another_run_are_refused(data, kept, tmp_path):
    output, former, real = kept
    tuning, more = Finetune(epochs=1, real={}), tmp_path / "more.horner"

    def attempt(former=former, real=real, tuning=tuning):
        finetune_to_file(output, data, tuning, more, former=former, real=real)

    def otherwise(**changes):
        took = former.retraining["real"]
        settings = {**took.settings, **changes}
        return replace(former, retraining={"real": replace(took, epochs=settings["epochs"], settings=settings)})

    incomplete = r"takes their file \(--real\) and the record .* \(--former\)"
    for missing in ({"former": None}, {"real": None}, {"tuning": Finetune(epochs=1)}):
        with pytest.raises(TrainingError, match=incomplete):
            attempt(**missing)
    with pytest.raises(
        TrainingError, match=r"m\.real is the checkpoint of another run: lr differs \(.* there, 0.5 here"
    ):
        attempt(otherwise(lr=0.5))
    with pytest.raises(FileError, match="had no epochs with real coefficients"):
        attempt(replace(former, retraining={}))
    with pytest.raises(FileError, match=r"m\.real is not of the network that the record tells of"):
        attempt(replace(former, recipe=replace(former.recipe, plan="fc1: out=linear/2")))
    with pytest.raises(PlanError, match="layer fc2: its norm was trained by 'in=linear/4' and cannot follow"):
        attempt(tuning=replace(tuning, plan="fc1: out=linear/4 row=quadratic; fc2: in=linear/4 scale=constant"))
    with pytest.raises(FileError, match=r"there is no file .*none"):
        attempt(real=tmp_path / "none")
    state = parse_checkpoint(real.read_bytes(), real)
    save_checkpoint(tmp_path / "early.real", {**state, "epoch": 0})
    with pytest.raises(FileError, match=r"early\.real is of a run that had come to 0 of 1 epochs"):
        attempt(real=tmp_path / "early.real")
    assert not more.exists()


def test_pixels_enter_as_the_dense_network_was_trained_to_read_them(data, trained, tmp_path):
    darker = dataclasses.replace(data, mean=data.mean + 20, std=data.std / 2)
    for name, images in (("a", data), ("b", darker)):
        approximate_to_file("lenet5", images, GENTLE, tmp_path / name, trained=trained, epochs=0)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_does_not_fit_is_refused_before_any_work(data, trained, tmp_path):
    output = tmp_path / "m.horner"
    with pytest.raises(PlanError, match="conv9 matches no layer"):
        approximate_to_file("lenet5", data, Plan.parse("conv9: dense"), output)
    with pytest.raises(ModelError, match="the trained lenet5 has batch normalisation"):
        approximate_to_file("lenet5", data, GENTLE, output, trained=trained, batch_norm=False)
    fewer = dataclasses.replace(data, classes=data.classes[:9])
    with pytest.raises(DataError, match="the trained lenet5 tells 10 classes apart, digits has 9"):
        approximate_to_file("lenet5", fewer, GENTLE, output, trained=trained)
    assert list(tmp_path.iterdir()) == []


def test_weights_are_drawn_from_the_seed_alone(data):
    first, again, other = (build("lenet5", data, None, seed).conv1.weight.detach().numpy() for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
