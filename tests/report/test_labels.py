"""Labels stay clear of one another."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horner.report import labels

places = st.lists(st.floats(0, 100), min_size=1, max_size=30).map(sorted)


@given(places, st.floats(0.1, 10))
def test_labels_along_a_line_keep_their_order_their_distance_and_within(wanted, gap):
    found = labels.apart(wanted, gap, 0.0, 100.0)
    assert -1e-9 <= found.min() <= found.max() <= 100 + 1e-9
    assert (np.diff(found) >= min(gap, 100 / max(len(wanted) - 1, 1)) - 1e-9).all()
    if all(b - a >= gap for a, b in itertools.pairwise(wanted)):
        assert found == pytest.approx(wanted)


@given(st.lists(st.tuples(st.floats(20, 380), st.floats(20, 280)), min_size=1, max_size=12))
def test_labels_around_points_hide_neither_points_nor_labels(points):
    sizes = np.full((len(points), 2), (20.0, 7.0))
    dots = [(x - 2, y - 2, x + 2, y + 2) for x, y in points]
    found = labels.around(np.array(points), sizes, (0, 0, 400, 300), dots)
    boxes = [(x - 10, y - 3.5, x + 10, y + 3.5) for x, y in found]
    for a, b in [*itertools.combinations(boxes, 2), *itertools.product(boxes, dots)]:
        assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]
    assert all(min(x0, y0) >= 0 and x1 <= 400 and y1 <= 300 for x0, y0, x1, y1 in boxes)


def test_a_label_avoids_a_line_where_it_can():
    line = np.array([[0.0, 52.0], [100.0, 52.0]])
    ((_, y),) = labels.around(np.array([[50.0, 50.0]]), np.array([[10.0, 6.0]]), (0, 0, 100, 100), (), [line])
    assert abs(y - 52) >= 3
