"""Labels that do not hide one another: side by side along a line, or around points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

DISTANCES = (1.0, 6.0, 12.0, 20.0, 30.0, 42.0)
DIRECTIONS = 16
Box = tuple[float, float, float, float]


def apart(wanted: Sequence[float] | np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Return places at least `gap` apart between `low` and `high`, in the order wanted and near to it.

    Places are as far apart as there is room for where there is too little.

    >>> apart([1.0, 1.5, 9.0], gap=2.0, low=0.0, high=10.0)
    array([0.25, 2.25, 9.  ])
    """
    count = len(wanted)
    if count < 2:
        return np.array(wanted, float)
    gap = min(gap, (high - low) / (count - 1))
    # places less their gaps need only be in order: the nearest such are means of those that are not (Ayer et al., 1955)
    blocks: list[list[float]] = []
    for number, place in enumerate(wanted):
        blocks.append([place - number * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    order = np.concatenate([np.full(len(block), np.mean(block)) for block in blocks])
    return np.clip(order, low, high - (count - 1) * gap) + np.arange(count) * gap


def around(
    points: np.ndarray, sizes: np.ndarray, within: Box, taken: Sequence[Box] = (), lines: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """Return the middles of labels near their points, chosen one after the other so that none hides what is there.

    Parameters
    ----------
    points, sizes
        ``(labels, 2)``: what each label names, and its width and height.
    within
        (left, bottom, right, top) that labels keep to.
    taken
        Boxes that labels stay away from.
    lines
        Polylines ``(corners, 2)``, x ascending, that labels would rather not cross.
    """
    boxes, middles = list(taken), []
    for point, size in zip(points, sizes, strict=True):
        candidates = list(_candidates(point, size))
        costs = [_cost(_box(middle, size), far, within, boxes, lines) for middle, far in candidates]
        middle = candidates[int(np.argmin(costs))][0]
        boxes.append(_box(middle, size))
        middles.append(middle)
    return np.array(middles).reshape(-1, 2)


def ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers in words, neighbours as ranges.

    >>> ranges([1, 2, 3, 7, 9, 10])
    '1-3, 7, 9-10'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _candidates(point: np.ndarray, size: np.ndarray) -> list[tuple[np.ndarray, float]]:
    turns = [2 * math.pi * turn / DIRECTIONS for turn in range(DIRECTIONS)]
    return [
        (point + (size / 2 + 3 + far) * np.array([math.cos(turn), math.sin(turn)]), far)
        for far in DISTANCES
        for turn in turns
    ]


def _box(middle: np.ndarray, size: np.ndarray) -> Box:
    (x, y), (width, height) = middle, size
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _cost(box: Box, far: float, within: Box, boxes: Sequence[Box], lines: Sequence[np.ndarray]) -> float:
    outside = box[0] < within[0] or box[1] < within[1] or box[2] > within[2] or box[3] > within[3]
    hidden = sum(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in boxes)
    return 1e6 * outside + 1e3 * hidden + far + sum(25 for line in lines if _crosses(box, line))


def _crosses(box: Box, line: np.ndarray) -> bool:
    low, high = np.interp((box[0], box[2]), line[:, 0], line[:, 1])
    return bool(min(low, high) < box[3] and max(low, high) > box[1])
