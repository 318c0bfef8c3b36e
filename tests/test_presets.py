import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from horner import models, presets
from horner.approximation.api import approximate_
from horner.approximation.factored import factored
from horner.approximation.maps import feature_maps
from horner.data.catalog import SETS
from horner.errors import PresetError
from horner.pipeline import Retraining
from horner.plan import Plan
from horner.presets import Preset, Retrain

GOOD = 'model = "lenet5"\ndata = "mnist"\nbatch_norm = true\nplan = "afsc"\n'


def read(text: str) -> Preset:
    (preset,) = presets.read(f"[mine]\n{text}").values()
    return preset


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_fits_its_network_and_its_plan_speaks_of_what_is_there(name):
    preset = presets.get(name)
    model = models.build(preset.model, batch_norm=preset.batch_norm, shape=SETS[preset.data].shape, classes=10)
    plan = Plan.parse(preset.plan)
    assert plan.match(model, maps=feature_maps(model, torch.zeros(2, *SETS[preset.data].shape)))
    assert preset.title


def products(model: torch.nn.Module, images: torch.Tensor) -> int:
    """Return the multiplications of a forward pass; those of a backward pass are in proportion."""
    with FlopCounterMode(display=False) as counter, factored(model), torch.no_grad():
        model(images)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", presets.names())
def test_no_preset_retrains_for_more_work_than_it_trains(name):
    preset = presets.get(name)
    dense = preset.training()
    retraining = preset.retrained(dense)
    if retraining is None:
        return
    images = torch.zeros(2, *SETS[preset.data].shape)
    model = models.build(preset.model, batch_norm=preset.batch_norm, shape=images.shape[1:], classes=10)
    share = 1.0
    if preset.reading == "positional":  # their epochs are shorter where the network is large
        before = products(model, images)
        share = min(1.0, products(approximate_(model, preset.plan, example=images), images) / before)
    assert share * (retraining.real.epochs + retraining.quantised.epochs) <= dense.epochs


def test_what_a_preset_does_not_mention_is_as_without_one():
    preset = read(GOOD)
    assert preset == Preset(model="lenet5", data="mnist", batch_norm=True, plan="afsc", retraining=Retrain())
    usual = preset.training(seed=3)
    assert usual.seed == 3
    assert preset.retrained(usual) == Retraining.like(usual, usual.epochs)
    assert preset.reading == "positional"
    assert read(GOOD.replace("afsc", "afsc; fc*: ranked=linear/2bit")).reading == "mixed"


def test_each_stage_has_settings_of_its_own():
    preset = read(
        GOOD + "dense = {epochs = 9, lr = 0.5}\n"
        'retraining = {epochs = 6, distill = 0.25, fit = "activations", real = {lr = 0.2, batch_size = 32},'
        ' quantised = {epochs = 4, lr = 0.1, augmentation = "shift"}}'
    )
    dense = preset.training()
    assert (dense.epochs, dense.lr) == (9, 0.5)
    retraining = preset.retrained(dense)
    real, quantised = retraining.real, retraining.quantised
    assert (real.epochs, real.lr, real.batch_size, real.augmentation) == (2, 0.2, 32, "none")
    assert (quantised.epochs, quantised.lr, quantised.batch_size) == (4, 0.1, dense.batch_size)
    assert quantised.augmentation == "shift"
    assert (retraining.fit, real.distill_weight) == ("activations", 0.25)


def test_fine_tuning_goes_with_the_dense_network_too():
    preset = read(
        GOOD + "dense = {batch_size = 32}\n"
        'finetuning = {epochs = 3, distill = 0.75, teachers = ["zoo:lenet5"], settings = {lr = 0.5}}'
    )
    assert preset.finetuning.teachers == ("zoo:lenet5",)
    tuned = preset.finetuning.training(preset.training())
    assert (tuned.epochs, tuned.lr, tuned.batch_size, tuned.distill_weight) == (3, 0.5, 32, 0.75)
    assert tuned.optimizer == "adamw"
    assert read(GOOD).finetuning is None


def test_no_retraining_is_a_recipe_too():
    preset = read(GOOD + "retraining = {epochs = 0}")
    assert preset.retrained(preset.training()) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "colour = 3", r"preset mine: .*unknown field `colour`"),
        (GOOD.replace("afsc", "afcs"), "preset mine: .*afcs"),
        (GOOD.replace('"lenet5"', '"lenet6"'), "preset mine: model: there is no 'lenet6'; did you mean lenet5"),
        (GOOD.replace('"mnist"', '"mnits"'), "preset mine: data: there is no 'mnits'; did you mean mnist"),
        ('model = "lenet5"', "preset mine: .*missing required field `data`"),
        (GOOD + "dense = {seed = 1}", "preset mine: dense.seed belongs to a run"),
        (GOOD + 'dense = {lr = "high"}', r"preset mine: dense: Expected `float`, got `str` - at `\$.lr`"),
        (GOOD + "dense = {epochs = 0}", "preset mine: dense: epochs is at least 1"),
        (GOOD + "retraining = {real = {rl = 1}}", "retraining.real.rl is no setting of training"),
        (GOOD + "retraining = {real = {epochs = 1}}", "the real stage has the epochs that the quantised one leaves"),
        (GOOD + "retraining = {epochs = 2, quantised = {epochs = 2}}", "2 of 2 epochs quantised"),
        (GOOD + 'retraining = {fit = "tight"}', r"retraining\.fit"),
        (GOOD + "finetuning = {epochs = 1, settings = {rl = 1}}", "finetuning.settings.rl is no setting of training"),
        (GOOD + "finetuning = {epochs = 0}", "preset mine: epochs is at least 1"),
        ("model =", "not TOML"),
    ],
)
def test_a_mistake_names_preset_and_field(text, says):
    with pytest.raises(PresetError, match=says):
        read(text)


def test_a_preset_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(PresetError, match="no preset 'lenet'; did you mean lenet5"):
        presets.get("lenet")


def test_presets_do_not_change():
    with pytest.raises(AttributeError):
        presets.get("lenet5").model = "vgg16"
    assert dataclasses.is_dataclass(presets.get("lenet5").training())
