import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import axes, generators

from horner.approximation.order import _of, _swap, best_order


@st.composite
def seen(draw):
    """Views of the same 2 to 12 channels, each part of a longer axis."""
    size = draw(st.integers(2, 12))
    found = []
    for _ in range(draw(st.integers(1, 3))):
        before, after = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        length = before + size + after
        rows = draw(generators()).standard_normal((length, draw(st.integers(1, 5))))
        axis = draw(axes(length, dense=False))
        found.append((_of(rows, axis, float((rows**2).sum()), before, size), rows, axis))
    return size, found


@given(seen(), generators())
def test_the_error_is_that_of_the_least_squares_fit(drawn, generator):
    size, found = drawn
    order = generator.permutation(size)
    for view, rows, axis in found:
        moved = rows.copy()
        moved[view.first : view.first + size] = rows[view.first + order]
        basis = axis.matrix.astype(float)
        fitted = basis @ np.linalg.lstsq(basis, moved, rcond=None)[0]
        wanted = ((moved - fitted) ** 2).sum() / (rows**2).sum()
        np.testing.assert_allclose(view.error(order), wanted, atol=1e-8)


@given(seen(), generators())
def test_costs_say_what_every_swap_changes(drawn, generator):
    size, found = drawn
    views = [view for view, *_ in found]
    order = generator.permutation(size)

    def error(o):
        return sum(view.error(o) for view in views)

    def swapped(i, j):
        other = order.copy()
        other[[i, j]] = other[[j, i]]
        return other

    best = min(error(swapped(i, j)) for i in range(size) for j in range(i, size))
    found_swap = _swap(order, views)
    if found_swap is None:
        assert best > error(order) - 1e-8
    else:
        assert error(found_swap) <= best + 1e-8


@given(seen())
def test_the_order_found_is_never_worse(drawn):
    size, found = drawn
    views = [view for view, *_ in found]
    order = best_order(size, views)
    assert sorted(order) == list(range(size))
    assert sum(v.error(order) for v in views) <= sum(v.error(np.arange(size)) for v in views)
