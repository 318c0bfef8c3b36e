import dataclasses
import platform
from pathlib import Path

import pytest
import torch

from horner.errors import TrainingError
from horner.training import TrainConfig, recipe
from horner.training import config as settings
from horner.training.config import autocast_dtype, find_device, multiplies_bfloat16


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("threads", 0),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("temperature", -1.0),
        ("clip_norm", 0.0),
        ("label_smoothing", 1.0),
        ("warmup", 1.0),
        ("warmup", float("nan")),
        ("distill_weight", 1.5),
        ("weight_decay", -1.0),
        ("optimizer", "adam"),
        ("schedule", "step"),
        ("augmentation", "flip"),
        ("precision", "float16"),
        ("shown", "half"),
        ("shown", "whole"),  # where nothing is hidden
    ],
)
def test_a_senseless_setting_is_named(setting, value):
    with pytest.raises(TrainingError, match=setting):
        TrainConfig(**{setting: value})


def test_where_it_runs_does_not_decide_the_result():
    config = TrainConfig()
    elsewhere = dataclasses.replace(config, threads=1, device="cpu", checkpoint_seconds=1.0)
    assert elsewhere.decides() == config.decides()
    assert dataclasses.replace(config, lr=0.1).decides() != config.decides()
    hiding = dataclasses.replace(config, augmentation="crop-flip-cutout")
    assert dataclasses.replace(hiding, shown="whole").decides() != hiding.decides()


def test_a_missing_device_is_named():
    with pytest.raises(TrainingError, match="no device 'abacus'"):
        find_device("abacus")
    with pytest.raises(TrainingError, match="no device 'cuda:99'"):
        find_device("cuda:99")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_precision_of_the_cpu():
    cpu = torch.device("cpu")
    assert autocast_dtype("auto", cpu) is None
    assert autocast_dtype("float32", cpu) is None
    assert autocast_dtype("bfloat16", cpu) is (torch.bfloat16 if multiplies_bfloat16(cpu) else None)


@pytest.mark.parametrize(("native", "taken"), [(True, torch.bfloat16), (False, None)])
def test_bfloat16_is_taken_only_where_it_is_multiplied_natively(monkeypatch, native, taken):
    monkeypatch.setattr(settings, "multiplies_bfloat16", lambda device: native)
    assert autocast_dtype("bfloat16", torch.device("cpu")) is taken
    assert autocast_dtype("float32", torch.device("cpu")) is None


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16", "bf16"])
def test_a_cpu_says_what_it_multiplies(monkeypatch, flag):
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, flag: True})
    assert multiplies_bfloat16(cpu)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, flag: False})
    assert not multiplies_bfloat16(cpu)


@pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc/cpuinfo")
def test_this_cpu_is_read_as_the_kernel_reads_it():
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert multiplies_bfloat16(torch.device("cpu")) == bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def test_recipes_suit_the_images():
    assert recipe((1, 28, 28), batch_norm=False).augmentation == "none"
    assert recipe((3, 32, 32), batch_norm=True).optimizer == "muon"
    assert recipe((3, 32, 32), batch_norm=False).lr < 0.01
