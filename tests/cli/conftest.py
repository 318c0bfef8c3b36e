from pathlib import Path

import numpy as np
import pytest
from commands import approximating, horner
from PIL import Image

from horner.data import embedded, idx


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    """A slice of MNIST in its official form."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    for name, content in embedded.files().items():
        images = idx.loads(content, 3 if "images" in name else 1)
        (folder / "mnist" / name).write_bytes(idx.dumps(images[: 600 if name.startswith("train") else 200]))
    return folder


@pytest.fixture(scope="session")
def dense(data_dir, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("dense") / "lenet.safetensors"
    made = horner(
        *("train", "lenet5", "--data", "mnist", "--data-dir", data_dir, "--batch-norm", "--epochs", 4, "-o", file),
        "--json",
    )
    assert made.json["accuracy"] > 50
    return file


@pytest.fixture(scope="session")
def program(data_dir, dense, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("program") / "lenet-5.horner"
    made = horner(*approximating(data_dir, dense), "-o", file, "--json")
    assert made.json["file_bytes"] == file.stat().st_size
    return file


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Two classes of RGB pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in (("blue", (0, 0, 200)), ("red", (200, 0, 0))):
        (folder / name).mkdir()
        for i in range(20):
            noise = np.random.default_rng(i).integers(0, 50, (32, 32, 3), np.uint8)
            Image.fromarray(noise + np.array(colour, np.uint8)).save(folder / name / f"{i}.png")
    return folder
