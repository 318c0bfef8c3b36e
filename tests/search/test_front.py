import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from horner.search.front import Point, front, picture, results_table, trials_table, worthwhile

NUMBERS = st.integers(0, 9)
ROW = {
    "file": "a/plan-001.horner",
    "file_bytes": 1200,
    "byte_ratio": 20.0,
    "coefficients": 900,
    "coefficient_ratio": 10.0,
    "multiplications": 5000,
    "additions": 7000,
    "validation_accuracy": 98.0,
    "validation_drop": 1.0,
    "accuracy": 97.5,
    "drop": 1.2,
}


def dominates(a, b):
    return a[0] <= b[0] and a[1] <= b[1] and a != b


@given(st.lists(st.tuples(NUMBERS, NUMBERS)))
def test_the_front_is_what_nothing_beats(points):
    kept = front(points, key=lambda point: point)
    assert set(kept) == {p for p in points if not any(dominates(q, p) for q in points)}
    assert len(kept) == len(set(kept))
    assert [cost for _, cost in kept] == sorted(cost for _, cost in kept)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1), st.integers(1, 12), NUMBERS)
def test_what_is_worthwhile_is_cheap_and_something_in_it_meets_the_budget(points, most, budget):
    ahead = front([Point(at, drop, cost) for at, (drop, cost) in enumerate(points)], key=lambda p: (p.drop, p.cost))
    kept = worthwhile(ahead, budget, most)
    assert len(kept) == min(most, len(ahead))
    assert kept[: most - 1] == ahead[: len(kept)][: most - 1]
    assert any(p.drop <= budget for p in kept) == any(p.drop <= budget for p in ahead)


def printed(table):
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_what_misses_the_budget_is_marked():
    assert "1.50 *" in printed(trials_table([Point(3, 1.5, 900.0)], "bytes", 1.0))
    over, within = (printed(results_table([ROW], budget, (99.0, 98.7))) for budget in (0.5, 1.0))
    assert "plan-001.horner *" in over
    assert "loses more than 0.5 points" in over
    assert "*" not in within
    assert {"1,200", "20.0x", "98.00", "97.50", "1.20"} <= set(within.replace("%", "").split())


def test_the_picture_is_drawn_whole_and_the_same_every_time(tmp_path):
    points = [Point(number, drop, 100.0 * number) for number, drop in ((1, 30.0), (2, 0.5), (3, -0.1))]
    for name in ("a.svg", "b.svg"):
        picture(points, points[1:], "bytes", 0.9, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
