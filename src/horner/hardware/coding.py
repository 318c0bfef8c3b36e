"""Run-length coding of zeros between the chip and DRAM, as Eyeriss does it."""

from __future__ import annotations

import numpy as np

RUN_BITS = 5
PAIRS, BLOCK_BITS = 3, 64
"""Three pairs of a run of zeros and the value after it, and a bit that ends them, fill a block."""
VALUE_BITS = 16
LONGEST = (1 << RUN_BITS) - 1


def coded_ratio(zeros: float) -> float:
    """Return the bits of run-length coded values over those of the values, zeros falling independently.

    A pair stands for up to 31 zeros and the value after them, so on average for ``(1 - z**32) / (1 - z)`` values.
    What coding would lengthen is left as it is.

    >>> round(coded_ratio(0.75), 3), coded_ratio(0.1)
    (0.333, 1.0)
    """
    values = LONGEST + 1 if zeros >= 1 else (1 - zeros ** (LONGEST + 1)) / (1 - zeros)
    return min(1.0, BLOCK_BITS / PAIRS / values / VALUE_BITS)


def coded_bits(values: np.ndarray) -> int:
    """Return the bits that run-length coding takes for values in order.

    >>> coded_bits(np.array([0, 0, 12, 0, 0, 0, 0, 53, 0, 0, 22]))  # the example of the paper: one block
    64
    """
    flat = np.ravel(values)
    places = np.flatnonzero(flat)
    runs = np.diff(places, prepend=-1) - 1
    pairs = int((runs // (LONGEST + 1) + 1).sum())  # a pair of 31 zeros and a zero stands for 32
    behind = flat.size - (int(places[-1]) + 1 if places.size else 0)
    pairs += -(-behind // (LONGEST + 1))
    return -(-pairs // PAIRS) * BLOCK_BITS
