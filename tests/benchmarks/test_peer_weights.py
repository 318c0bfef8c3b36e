"""Peers are as good as their books say, and what they store can be decoded."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.peer_weights import VALUE_BITS, nearest, run_bits, shared
from horner.program.arithmetic import Signed, Unsigned


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 8), st.booleans(), st.integers(0, 2**31))
def test_rounded_weights_are_whole_steps_no_further_than_half_a_step(bits, per_channel, seed):
    weight = gaussian(4, 3, 3, 3, seed=seed)
    rows, stored = weight.reshape(4, -1), nearest(weight, bits, per_channel, scaled=True)
    found = stored.weight.reshape(4, -1)
    for row, rounded in zip(rows, found, strict=True) if per_channel else [(rows.flatten(), found.flatten())]:
        values = rounded.unique()
        assert len(values) <= 2**bits - 1
        step = values.diff().min() if len(values) > 1 else torch.tensor(torch.inf)
        inside = row.abs() <= values.abs().max()
        assert ((row - rounded).abs()[inside] <= 0.5001 * step).all()


@pytest.mark.parametrize(("levels", "published"), [(4, 0.1175), (8, 0.03454), (16, 0.009497)])
def test_clusters_of_gaussian_weights_are_the_best_there_are(levels, published):
    # J. Max, "Quantizing for minimum distortion", 1960, table I
    weight = gaussian(64, 32, 3, 3)
    error = (shared(weight, levels).weight - weight).square().mean() / weight.var()
    assert published * 0.98 < error < published * 1.03


def test_more_bits_cost_more_and_err_less():
    weight = gaussian(16, 16, 3, 3)
    for store in (lambda n: nearest(weight, n, True, False), lambda n: shared(weight, 2**n)):
        found = [store(n) for n in (2, 3, 4, 6, 8)]
        errors = [float((one.weight - weight).square().mean()) for one in found]
        assert errors == sorted(errors, reverse=True)
        assert [one.bits for one in found] == sorted(one.bits for one in found)


def test_scales_cost_bits_where_nothing_takes_them_in():
    weight = gaussian(16, 8, 3, 3)
    free, paid = (nearest(weight, 4, True, scaled) for scaled in (True, False))
    assert paid.bits - free.bits == 16 * VALUE_BITS
    assert nearest(weight, 4, False, False).bits < 4 * weight.numel() + 2
    assert shared(weight, 4).bits <= 2 * weight.numel() + 1 + 4 * VALUE_BITS


def test_runs_cost_no_more_than_plain_bits_and_near_their_entropy():
    values = np.random.default_rng(0).choice(4, 3000, p=[0.7, 0.1, 0.1, 0.1])
    entropy = 3000 * -(0.7 * np.log2(0.7) + 0.3 * np.log2(0.1))
    assert entropy * 0.97 < run_bits(values, 2, Unsigned) < entropy * 1.03
    assert run_bits(np.arange(1000) % 8, 3, Unsigned) == 3001
    assert run_bits(np.array([1, -1]), 4, Signed) == 9
