import json

import pytest
import safetensors.torch
import torch

from horner.errors import FileError, ModelError
from horner.models import ModelInfo, build, load, save

INFO = ModelInfo(spec="lenet5", batch_norm=True, data="mnist", mean=33, std=78.5, accuracy=98.75)


@pytest.fixture
def saved(tmp_path):
    model = build("lenet5", batch_norm=True, seed=1)
    model(torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(0)))  # moves the running statistics
    save(tmp_path / "net.safetensors", model, INFO)
    return tmp_path / "net.safetensors", model


def rewrite(path, change, metadata=None):
    tensors = safetensors.torch.load(path.read_bytes())
    change(tensors)
    meta = {"horner.model": json.dumps(metadata or {"spec": "lenet5", "batch_norm": True})}
    path.write_bytes(safetensors.torch.save(tensors, meta))


def test_what_is_saved_comes_back(saved):
    path, model = saved
    again, info = load(path)
    assert info == INFO
    assert not again.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_a_mismatch_names_tensor_and_shapes(saved):
    path, _ = saved
    original = path.read_bytes()
    for change, message in (
        (lambda t: t.pop("fc2.weight"), r"tensor fc2.weight of shape \(84, 120\) is missing"),
        (lambda t: t.update({"extra": torch.zeros(3)}), r"tensor extra of shape \(3,\) is none of the model's"),
        (
            lambda t: t.update({"conv1.weight": torch.zeros(6, 3, 5, 5)}),
            r"conv1.weight has shape \(6, 3, 5, 5\), the model wants \(6, 1, 5, 5\)",
        ),
    ):
        path.write_bytes(original)
        rewrite(path, change)
        with pytest.raises(ModelError, match=message):
            load(path)


def test_a_damaged_file_is_refused(saved):
    path, _ = saved
    raw = path.read_bytes()
    for damaged in (b"", raw[:7], raw[:100], raw[:-1], b"\xff" * 8 + raw[8:], b"PK\x03\x04" + raw, raw[:8] + b"[" * 50):
        path.write_bytes(damaged)
        with pytest.raises(FileError, match=r"net\.safetensors"):
            load(path)
    with pytest.raises(FileError, match="cannot read"):
        load(path.parent / "absent")


def test_metadata_is_checked(saved, tmp_path):
    path, _ = saved
    rewrite(path, lambda t: None, {"spec": "lenet5", "shape": "wide"})
    with pytest.raises(FileError, match="malformed"):
        load(path)
    path.write_bytes(safetensors.torch.save({"x": torch.zeros(1)}))
    with pytest.raises(FileError, match="not one of Horner's models"):
        load(path)


def test_a_file_does_not_choose_what_code_runs(saved, tmp_path, monkeypatch):
    path, _ = saved
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_net_e.py").write_text(
        "from horner.models.lenet5 import LeNet5\n"
        "open('imported', 'w').close()\n"
        "def net(batch_norm): return LeNet5(batch_norm=batch_norm)\n"
    )
    rewrite(path, lambda t: None, {"spec": "own_net_e:net", "batch_norm": True})
    with pytest.raises(ModelError, match="name it as the model"):
        load(path)
    assert not (tmp_path / "imported").exists()
    model, info = load(path, spec="own_net_e:net")
    assert info.spec == "own_net_e:net"
    assert model.conv1.weight.shape == (6, 1, 5, 5)


def test_a_file_that_cannot_be_written_leaves_the_former_one(saved):
    path, model = saved
    (path.parent / "file").write_text("x")
    with pytest.raises(FileError, match="cannot write"):
        save(path.parent / "file" / "net.safetensors", model, INFO)
