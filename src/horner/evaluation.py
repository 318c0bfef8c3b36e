"""Run a program with a backend by name, and measure how often it is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

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
    """
    if backend == "c":
        from horner.backends.c import compile as compile_program  # noqa: PLC0415  needs a compiler, not only NumPy

        return compile_program(program)
    from horner.backends import reference  # noqa: PLC0415

    return lambda images: reference.run(program, images, "reuse" if backend == "reference" else "dense")


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose largest output (the first of equals) is their label, in percent.

    >>> accuracy(np.array([[1, 3], [2, 2]]), np.array([1, 1]))
    50.0
    """
    if len(labels) == 0:
        raise DataError("the split has no images; accuracy is undefined")
    return 100.0 * float((outputs.reshape(len(outputs), -1).argmax(1) == np.asarray(labels)).mean())
