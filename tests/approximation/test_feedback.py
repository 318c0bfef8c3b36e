"""Levels by error feedback against rounding each weight alone, and against all there are."""

import itertools

import pytest
import torch

from horner.approximation.feedback import BLOCK, Codebook, assign


def codebook(*values: float, filters: int = 1) -> Codebook:
    table = torch.tensor(values, dtype=torch.float64).expand(filters, -1).contiguous()
    return Codebook(table, (table[:, 1:] + table[:, :-1]) / 2, torch.arange(len(values)).expand(filters, -1))


def problem(groups: int, filters: int, features: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights, and second moments of inputs that resemble their neighbours."""
    generator = torch.Generator().manual_seed(seed)
    wanted = torch.randn(groups, filters, features, generator=generator, dtype=torch.float64)
    x = torch.randn(groups, 4 * features, features, generator=generator, dtype=torch.float64)
    x = x + x.roll(1, 2) + 0.5 * x.roll(2, 2)
    return wanted, x.mT @ x / x.shape[1]


def error(levels: torch.Tensor, wanted: torch.Tensor, square: torch.Tensor, book: Codebook) -> torch.Tensor:
    groups, filters, _ = wanted.shape
    table = book.table.expand(groups * filters, -1)
    off = table.gather(1, levels.reshape(groups * filters, -1)).reshape(wanted.shape) - wanted
    return ((off @ square) * off).sum(-1)


@pytest.mark.parametrize("per_filter", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("features", [9, BLOCK + 7])
def test_feedback_beats_rounding_and_passes_never_harm(features, groups, per_filter):
    wanted, square = problem(groups, 40, features)
    book = codebook(-1.5, -0.5, 0.5, 1.5, filters=groups * 40 if per_filter else 1)
    nearest = torch.stack([book(column)[0] for column in wanted.flatten(0, 1).T], 1).reshape(wanted.shape)
    errors = [error(nearest, wanted, square, book).sum()]
    errors += [error(assign(wanted, square, book, n), wanted, square, book).sum() for n in (0, 1, 4)]
    assert errors[1] < 0.9 * errors[0]
    assert errors[3] <= errors[2] <= errors[1]


def test_few_weights_come_near_the_best_levels_there_are():
    wanted, square = problem(1, 12, 6)
    book = codebook(-1.2, 0.0, 1.2)
    every = torch.tensor(list(itertools.product(range(3), repeat=6)))
    off = book.table[0][every][None] - wanted[0][:, None]
    best = ((off @ square[0]) * off).sum(-1).amin(1)
    found = error(assign(wanted, square, book, 4), wanted, square, book)[0]
    assert (found >= best - 1e-9).all()
    assert found.sum() < 1.25 * best.sum()


def test_inputs_that_have_nothing_to_do_with_each_other_leave_nothing_to_feed_back():
    wanted, _ = problem(2, 5, 30)
    book = codebook(-1.0, 0.0, 1.0)
    square = torch.diag_embed(torch.rand(2, 30, dtype=torch.float64) + 0.1)
    nearest = torch.stack([book(column)[0] for column in wanted.flatten(0, 1).T], 1).reshape(wanted.shape)
    assert torch.equal(assign(wanted, square, book), nearest)


def test_weights_on_levels_stay():
    book = codebook(-1.0, 0.0, 2.0)
    _, square = problem(1, 4, 20)
    levels = torch.randint(3, (1, 4, 20), generator=torch.Generator().manual_seed(1))
    assert torch.equal(assign(book.table[0][levels], square, book), levels)
