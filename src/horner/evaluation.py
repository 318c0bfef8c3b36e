"""Run a program with a backend by name, and measure how often it is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from horner.data import DataSet
from horner.errors import DataError
from horner.program.program import Program

Backend = Literal["reference", "dense", "c"]
Run = Callable[[np.ndarray], np.ndarray]


def runner(program: Program, backend: Backend) -> Run:
    """Return the function from images to outputs that a backend makes of a program.

    Parameters
    ----------
    backend
        `reference`: NumPy, sums reused; `dense`: NumPy, weights expanded; `c`: the compiled C.

    Raises
    ------
    CompileError
        When there is no C compiler for `c`.
    """
    if backend == "c":
        from horner.backends.c import compile as compile_program

        return compile_program(program)
    from horner.backends import reference

    return lambda images: reference.run(program, images, "reuse" if backend == "reference" else "dense")


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose largest output (the first of equals) is their label, in percent.

    >>> accuracy(np.array([[1, 3], [2, 2]]), np.array([1, 1]))
    50.0
    """
    if len(labels) == 0:
        raise DataError("the split has no images; accuracy is undefined")
    return 100.0 * float((outputs.reshape(len(outputs), -1).argmax(1) == np.asarray(labels)).mean())


def expect_fit(reader: str, shape: tuple[int, ...], classes: int, data: DataSet) -> None:
    """Refuse a data set whose images or classes are not those of a network.

    Parameters
    ----------
    reader
        What the message calls the network.
    shape
        Channels, rows and columns of the images that it reads.
    classes
        How many it tells apart.

    Raises
    ------
    DataError
        Naming both shapes, or both numbers of classes.
    """
    if tuple(shape) != data.shape:
        channels, rows, columns = shape
        convertible = data.name.startswith("folder:") and channels in (1, 3)
        hint = f"; --size {rows}x{columns} --channels {channels} converts them" if convertible else ""
        raise DataError(
            f"{reader} reads images of {_by(shape)} (channels x rows x columns), "
            f"those of {data.name} are {_by(data.shape)}{hint}"
        )
    if classes != len(data.classes):
        raise DataError(f"{reader} tells {classes} classes apart, {data.name} has {len(data.classes)}")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
