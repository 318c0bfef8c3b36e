from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import axes, generators

from horner.basis import LONGEST, LONGEST_POW2, Axis, evaluate, gather, gram, nodes, spread
from horner.errors import PlanError


@dataclass
class Tally:
    additions: int = 0


@dataclass(frozen=True)
class Adder:
    """An integer with nothing but addition, subtraction and left shift."""

    value: int
    tally: Tally = field(compare=False)

    def __add__(self, other):
        self.tally.additions += 1
        return Adder(self.value + other.value, self.tally)

    def __sub__(self, other):
        self.tally.additions += 1
        return Adder(self.value - other.value, self.tally)

    def __lshift__(self, times):
        assert isinstance(times, int)
        assert times >= 0
        return Adder(self.value << times, self.tally)


EVERY_AXIS = [
    Axis(length, segment, degree, kind)
    for length in range(1, 18)
    for segment in range(1, length + 1)
    for degree in (None, 0, 1, 2)
    for kind in ("index", "pow2")
    if kind == "index" or degree is None or segment <= LONGEST_POW2
]


def values(number):
    return [(-1) ** i * (3 * i * i + 7 * i + 1) for i in range(number)]


def test_gather_is_the_transposed_matrix_and_costs_what_it_says():
    for axis in EVERY_AXIS:
        tally, x = Tally(), values(axis.length)
        sums = axis.gather([Adder(value, tally) for value in x])
        assert [number.value for number in sums] == (axis.matrix.T @ np.array(x)).tolist(), repr(axis)
        assert tally.additions == axis.gather_additions, repr(axis)


def test_spread_is_the_matrix_and_costs_what_it_says():
    for axis in EVERY_AXIS:
        tally, c = Tally(), values(axis.coefficients)
        outputs = axis.spread([Adder(value, tally) for value in c])
        assert [number.value for number in outputs] == (axis.matrix @ np.array(c)).tolist(), repr(axis)
        assert tally.additions == axis.spread_additions, repr(axis)


@given(axes(length=None), generators())
def test_gather_and_spread_are_adjoint(axis, generator):
    x = generator.integers(-9, 10, axis.length).tolist()
    c = generator.integers(-9, 10, axis.coefficients).tolist()
    assert np.dot(axis.gather(x), c) == np.dot(x, axis.spread(c))


@given(st.integers(1, 40), st.data())
def test_arrays_gather_and_spread_along_any_dimension(length, data):
    axis, generator = data.draw(axes(length)), data.draw(generators())
    at = data.draw(st.integers(0, 2))
    shape = [2, 3, 4]
    shape[at] = length
    for kind in (np.int64, np.float64):
        x = generator.integers(-99, 100, shape).astype(kind)
        gathered = gather(x, axis, at)
        assert gathered.dtype == kind
        assert np.array_equal(gathered, np.moveaxis(np.tensordot(axis.matrix.T, x, (1, at)), 0, at))
        again = spread(gathered, axis, at)
        assert again.dtype == kind
        assert np.array_equal(again, np.moveaxis(np.tensordot(axis.matrix, gathered, (1, at)), 0, at))


def test_floats_gather_too():
    x = np.linspace(-1, 1, 9, dtype=np.float32)
    axis = Axis(9, degree=2, nodes="pow2")
    found = gather(x, axis, 0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, axis.matrix.T @ x.astype(float), rtol=1e-5)
    np.testing.assert_allclose(axis.gather(x.tolist()), axis.matrix.T @ x.astype(float))


def test_the_matrix_holds_the_newton_basis_of_every_segment():
    for axis in EVERY_AXIS:
        assert axis.matrix.shape == (axis.length, axis.coefficients) == (axis.length, axis.orders.size)
        column = 0
        if axis.dense:
            assert np.array_equal(axis.matrix, np.eye(axis.length))
            continue
        for start in range(0, axis.length, axis.segment):
            size = min(axis.segment, axis.length - start)
            terms = min(axis.degree + 1, size)
            for i, t in enumerate(nodes(size, axis.nodes)):
                assert axis.matrix[start + i, column : column + terms].tolist() == [1, t, t * (t - 1) // 2][:terms]
            assert axis.orders[column : column + terms].tolist() == list(range(terms))
            column += terms
        assert column == axis.coefficients
        assert axis.matrix.sum() == axis.matrix[axis.matrix > 0].sum()
        assert sum(size for _, size in axis.pieces) == axis.length


def test_the_stored_basis_spans_the_same_polynomials_in_whole_numbers():
    for axis in EVERY_AXIS:
        identity = np.eye(axis.coefficients, dtype=np.int64)
        newton = axis.to_newton(identity, 0)
        assert newton.dtype == np.int64
        assert np.array_equal(axis.stored, axis.matrix @ newton)
        assert np.linalg.matrix_rank(axis.stored) == axis.coefficients
        if axis.dense or axis.degree == 0 or axis.nodes == "pow2":
            assert np.array_equal(axis.stored, axis.matrix)


def test_on_index_nodes_the_stored_basis_is_orthogonal():
    """Gram's polynomials: rounding one coefficient disturbs no other."""
    for axis in EVERY_AXIS:
        if axis.nodes == "index":
            products = axis.stored.T @ axis.stored
            assert np.array_equal(products, np.diag(np.diag(products))), repr(axis)
    assert (Axis(5, degree=2).stored.T == [[1, 1, 1, 1, 1], [-2, -1, 0, 1, 2], [2, -1, -2, -1, 2]]).all()
    for size in range(3, 40):
        divisors = np.gcd.reduce(gram(size, 3), axis=0)
        assert divisors.tolist() == [1, 1, 1]
        assert (np.diag(gram(size, 3)) > 0).all()


@given(st.data())
def test_arrays_pass_to_newton_along_any_dimension(data):
    axis, generator = data.draw(axes()), data.draw(generators())
    at = data.draw(st.integers(0, 2))
    shape = [2, 3, 4]
    shape[at] = axis.coefficients
    for kind in (np.int64, np.float64):
        x = generator.integers(-99, 100, shape).astype(kind)
        newton = axis.to_newton(x, at)
        assert newton.dtype == kind
        wanted = np.moveaxis(np.tensordot(axis.stored, x, (1, at)), 0, at)
        assert np.array_equal(evaluate(newton, axis, at), wanted)
        assert np.array_equal(spread(newton, axis, at), wanted)


def test_published_costs():
    # one row of a 5-wide kernel: 2K - 3 additions for degree 1, and K - 3 more for degree 2
    for width in range(3, 12):
        assert Axis(width, degree=1).gather_additions == 2 * width - 3
        assert Axis(width, degree=2).gather_additions == 3 * width - 6
        assert Axis(width, degree=1).spread_additions == width - 1
    assert Axis(7).gather_additions == Axis(7).spread_additions == 0


def test_equal_meanings_compare_equal():
    assert Axis(4, degree=1) == Axis(4, 4, 1) == Axis(4, 9, 1)
    assert Axis(4, 2, None, "pow2") == Axis(4)
    assert Axis(4, 2, 0, "pow2") == Axis(4, 2, 0)
    assert Axis(4, degree=1) != Axis(4, degree=1, nodes="pow2")
    assert hash(Axis(4, degree=1)) == hash(Axis(4, 4, 1))


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        (Axis(5), "dense"),
        (Axis(5, degree=0), "constant"),
        (Axis(5, degree=1), "linear"),
        (Axis(5, 3, 2), "quadratic/3"),
        (Axis(5, degree=2, nodes="pow2"), "quadratic@pow2"),
        (Axis(8, 4, 1, "pow2"), "linear/4@pow2"),
    ],
)
def test_an_axis_prints_as_a_plan_writes_it(axis, text):
    assert str(axis) == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "1 to 65536 positions, not 0"),
        ({"length": LONGEST + 1}, "not 65537"),
        ({"length": 4, "segment": 0}, "at least one position, not 0"),
        ({"length": 4, "degree": 3}, "degree 3 is not one of 0, 1, 2"),
        ({"length": 4, "degree": -1}, "degree -1"),
        ({"length": 4, "degree": 1, "nodes": "odd"}, "nodes 'odd' are not one of"),
        ({"length": 17, "degree": 1, "nodes": "pow2"}, "at most 16 positions, not 17"),
    ],
)
def test_an_impossible_axis_is_refused(arguments, message):
    with pytest.raises(PlanError, match=message):
        Axis(**arguments)


def test_a_wrong_number_of_values_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="gather over linear of length 4 takes 4 values, got 3"):
        Axis(4, degree=1).gather([1, 2, 3])
    with pytest.raises(ValueError, match="spread over linear of length 4 takes 2 values, got 3"):
        Axis(4, degree=1).spread([1, 2, 3])


def test_the_longest_axes_are_exact():
    axis = Axis(LONGEST, degree=2)
    assert axis.gather([1] * LONGEST) == [LONGEST, LONGEST * (LONGEST - 1) // 2, axis.matrix[:, 2].sum()]
    last = Axis(LONGEST_POW2, degree=2, nodes="pow2")
    assert last.matrix[-1].tolist() == [1, 2**14, 2**13 * (2**14 - 1)]
