"""A few real digits as a data set: enough for a LeNet to learn from in a second."""

from __future__ import annotations

from functools import cache

from horner.data import DataSet, Split, embedded, idx
from horner.data.dataset import assemble


@cache
def digits(train: int = 600, validation: int = 200, test: int = 200) -> DataSet:
    """MNIST digits from the subset that the wheel carries."""
    files = embedded.files()

    def split(name: str) -> Split:
        pair = [(f"{name}-{part}-ubyte", files[f"{name}-{part}-ubyte"]) for part in ("images-idx3", "labels-idx1")]
        return idx.read(pair, (1, 28, 28), 10)

    return assemble(
        "digits",
        tuple("0123456789"),
        split("train").take(train + validation),
        split("t10k").take(test),
        validation=validation,
        seed=0,
        source="embedded",
        complete=False,
    )
