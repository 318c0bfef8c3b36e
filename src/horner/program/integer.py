"""The integer arithmetic of every backend, written down once.

Activations are int8, affine: ``real = (q - zero_point) * scale``. Coefficients are small signed
integers, optionally shifted left by their family's shift. Accumulators are int32 (int64 where the
bound of `horner.program.bounds` demands it). An accumulator becomes an activation by

    q = saturate(round_shift(accumulator * multiplier, shift) + zero_point, low, high)

with the product in int64. Every rounding is to the nearest integer, halves away from zero.
"""

from __future__ import annotations

import numpy as np

INT8_LOW, INT8_HIGH = -128, 127
INT32_HIGH = 2**31 - 1
INT64_HIGH = 2**63 - 1


def round_shift(value: np.ndarray, shift: int) -> np.ndarray:
    """Divide by ``2**shift`` and round to nearest, halves away from zero.

    Parameters
    ----------
    value
        int64, any shape; ``abs(value) + 2**(shift - 1)`` must fit int64.
    shift
        0 to 62.

    Examples
    --------
    >>> round_shift(np.array([5, -5, 6, -6, 7]), 2).tolist()
    [1, -1, 2, -2, 2]
    """
    if shift == 0:
        return value
    magnitude = (np.abs(value) + (1 << (shift - 1))) >> shift
    return np.where(value < 0, -magnitude, magnitude)


def round_divide(value: np.ndarray, divisor: int | np.ndarray) -> np.ndarray:
    """Divide by a positive integer and round to nearest, halves away from zero.

    Examples
    --------
    >>> round_divide(np.array([3, -3, 4, 5]), 2).tolist()
    [2, -2, 2, 3]
    """
    magnitude = (np.abs(value) + np.asarray(divisor) // 2) // divisor
    return np.where(value < 0, -magnitude, magnitude)


def saturate(value: np.ndarray, low: int = INT8_LOW, high: int = INT8_HIGH) -> np.ndarray:
    """Clamp to ``low..high`` and store as int8."""
    return np.clip(value, low, high).astype(np.int8)


def requantise(
    accumulator: np.ndarray, multiplier: np.ndarray | int, shift: int, zero_point: int, low: int, high: int
) -> np.ndarray:
    """Turn accumulators into int8 activations; `multiplier` broadcasts against `accumulator`.

    Examples
    --------
    >>> requantise(np.array([100, -100, 10000]), 3, 4, -10, -128, 127).tolist()
    [9, -29, 127]
    """
    product = accumulator.astype(np.int64) * np.asarray(multiplier, np.int64)
    return saturate(round_shift(product, shift) + zero_point, low, high)


def quantise(real: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Turn real values into int8 activations, halves away from zero.

    Examples
    --------
    >>> quantise(np.array([0.0, 0.25, -0.25, 9.0]), 0.5, 0).tolist()
    [0, 1, -1, 18]
    """
    scaled = np.asarray(real, np.float64) / scale
    return saturate(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5) + zero_point)


def dequantise(activation: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Turn int8 activations into the real values they stand for, float32."""
    return ((activation.astype(np.int32) - zero_point) * scale).astype(np.float32)
