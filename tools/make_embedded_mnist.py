"""Draw the MNIST subset that the wheel carries: python tools/make_embedded_mnist.py DATA_DIR.

DATA_DIR holds MNIST's official files in DATA_DIR/mnist/. As many images of each digit are drawn from the official
training set and from the official test set, with a fixed seed and without replacement, so that running this again gives
the same pixels. It prints their SHA-256, which src/horner/data/embedded/__init__.py pins.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from horner.data import Split, archive, embedded, load

SEED = 2022
FOLDER = Path(embedded.__file__).parent


def draw(split: Split, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return uint8 (count, 28, 28): digits in turn, 0 1 2 ... 9 0 1 ..., each a random one of its kind."""
    digits = [rng.choice(np.flatnonzero(split.labels == digit), count // 10, replace=False) for digit in range(10)]
    return split.images[np.stack(digits, axis=1).ravel(), 0]


def main() -> None:
    """Write the files and say what they hold."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    mnist = load("mnist", Path(sys.argv[1]), validation=0)
    if not mnist.complete:
        sys.exit(f"{mnist.source} does not hold the official MNIST files")
    rng = np.random.default_rng(SEED)
    images = np.concatenate([draw(mnist.train, embedded.TRAIN, rng), draw(mnist.test, embedded.TEST, rng)])
    files = embedded.pack(images)
    for name, data in files.items():
        (FOLDER / name).write_bytes(data)
        print(f"{name}: {len(data):,} bytes")
    print(f"{sum(map(len, files.values())) / len(images):.1f} bytes an image, {len(images):,} images")
    print(f"SHA256 = {archive.sha256(images.tobytes())}")


if __name__ == "__main__":
    main()
