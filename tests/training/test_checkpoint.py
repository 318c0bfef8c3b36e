import os
import pickle
import random
import resource

import pytest
import torch

from horner.errors import FileError, TrainingError
from horner.training.checkpoint import MAGIC, digest, parse_checkpoint, read_checkpoint, save_checkpoint

STATE = {"weights": {"a": torch.arange(5.0), "b": torch.tensor(3)}, "epoch": 2, "loss": 0.1, "history": [{"x": 1.5}]}


@pytest.fixture
def path(tmp_path):
    save_checkpoint(tmp_path / "run.ckpt", STATE)
    return tmp_path / "run.ckpt"


def test_what_is_saved_comes_back(path):
    state = parse_checkpoint(read_checkpoint(path), path)
    assert torch.equal(state["weights"]["a"], STATE["weights"]["a"])
    assert {k: v for k, v in state.items() if k != "weights"} == {k: v for k, v in STATE.items() if k != "weights"}
    assert read_checkpoint(path.with_name("absent")) is None


def test_any_flipped_byte_and_any_cut_is_noticed(path):
    raw = path.read_bytes()
    draw = random.Random(0)
    for _ in range(200):
        place = draw.randrange(len(raw))
        damaged = raw[:place] + bytes([raw[place] ^ (1 << draw.randrange(8))]) + raw[place + 1 :]
        with pytest.raises(TrainingError, match=r"run\.ckpt"):
            parse_checkpoint(damaged, path)
        with pytest.raises(TrainingError, match=r"run\.ckpt"):
            parse_checkpoint(raw[:place], path)


def test_a_pickle_does_not_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    path = tmp_path / "run.ckpt"
    save_checkpoint(path, {"x": Harm()})
    with pytest.raises(TrainingError, match="cannot be read"):
        parse_checkpoint(path.read_bytes(), path)
    with pytest.raises(TrainingError, match="not a checkpoint"):
        parse_checkpoint(pickle.dumps(Harm()), path)
    assert not (tmp_path / "harm").exists()
    assert path.read_bytes().startswith(MAGIC)


def test_a_disk_without_room_leaves_the_former_checkpoint(path):
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the system itself refuses to write more
    try:
        with pytest.raises(FileError, match=r"cannot write .*run\.ckpt: File too large"):
            save_checkpoint(path, STATE | {"large": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["run.ckpt"]


def test_a_digest_sees_names_types_shapes_and_values():
    base = {"a": torch.zeros(2, 3)}
    others = [
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3).int()},
        {"a": torch.ones(2, 3)},
    ]
    assert len({digest(tensors) for tensors in [base, *others]}) == 5
    assert digest(base) == digest({"a": torch.zeros(3, 2).T})
