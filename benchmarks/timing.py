"""Fair times: everything that is compared is called in turn, in one process, on one core."""

from __future__ import annotations

import gc
import math
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

SHORTEST = 50e-6
"""Seconds that a sample takes at least: faster calls are made several times and the time divided."""

WARM_UP = 10
SEED = 0


@dataclass(frozen=True)
class Timing:
    """Microseconds of one call: the median and quartiles of `runs` samples of `calls` calls each, and the least."""

    median: float
    lower: float
    upper: float
    least: float
    runs: int
    calls: int


def pin() -> None:
    """Keep this process, and threads made later, on one core where the system lets us; torch on one thread."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def interleave(calls: Sequence[Callable[[], Any]], runs: int) -> list[Timing]:
    """Time all calls, one sample of each per round and in another order every round.

    What else the machine does so hits all of them alike. Each is called as often untimed just before it is timed:
    what the others left in the caches is nobody's, as in a program that classifies one image after the other.
    """
    repeats = [_repeats(call) for call in calls]
    samples = np.empty((len(calls), runs))
    order = list(range(len(calls)))
    shuffle = random.Random(SEED).shuffle
    gc.collect()
    gc.disable()
    try:
        for run in range(runs):
            shuffle(order)
            for number in order:
                call, count = calls[number], repeats[number]
                for _ in range(count):
                    call()
                began = time.perf_counter_ns()
                for _ in range(count):
                    call()
                samples[number, run] = (time.perf_counter_ns() - began) / count / 1e3
    finally:
        gc.enable()
    return [_summarise(row, count) for row, count in zip(samples, repeats, strict=True)]


def _repeats(call: Callable[[], Any]) -> int:
    """Warm a call up, and return how many of it make a sample."""
    least = math.inf
    for _ in range(WARM_UP):
        began = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - began)
    return max(1, math.ceil(SHORTEST / least))


def _summarise(samples: np.ndarray, calls: int) -> Timing:
    lower, median, upper = (float(q) for q in np.percentile(samples, (25, 50, 75)))
    return Timing(median, lower, upper, float(samples.min()), len(samples), calls)
