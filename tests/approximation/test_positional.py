import copy

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from horner.approximation.positional import PositionalWeight, blocks, multiply
from horner.basis import Axis
from horner.program.weights import Positional

axes = st.builds(
    Axis,
    st.integers(1, 11),
    segment=st.none() | st.integers(1, 6),
    degree=st.sampled_from([None, 0, 1, 2]),
    nodes=st.sampled_from(["index", "pow2"]),
)


def dense_q(axis: Axis) -> np.ndarray:
    """The orthonormal basis of an axis as one matrix."""
    q = np.zeros((axis.length, axis.coefficients))
    row = column = 0
    for block in blocks(axis):
        for _ in range(block.count):
            q[row : row + block.q.shape[0], column : column + block.q.shape[1]] = block.q
            row, column = row + block.q.shape[0], column + block.q.shape[1]
    return q


@settings(deadline=None)
@given(axes)
def test_blocks_span_the_polynomials(axis):
    q = dense_q(axis)
    np.testing.assert_allclose(q.T @ q, np.eye(axis.coefficients), atol=1e-12)
    np.testing.assert_allclose(q @ (q.T @ axis.matrix), axis.matrix, atol=1e-9 * axis.matrix.max())
    assert all(np.allclose(block.r, np.triu(block.r)) and (np.diag(block.r) > 0).all() for block in blocks(axis))


@settings(deadline=None, max_examples=50)
@given(st.lists(axes, min_size=1, max_size=4), st.integers(0, 2**31))
def test_the_tensor_is_the_core_times_every_basis(chosen, seed):
    weight = PositionalWeight(chosen).double()
    theta = torch.randn(weight.core, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    expected = theta.numpy()
    for at, axis in enumerate(chosen):
        expected = np.moveaxis(np.tensordot(dense_q(axis), expected, (1, at)), 0, at)
    np.testing.assert_allclose(weight(theta).numpy(), expected, atol=1e-10)
    torch.testing.assert_close(weight.right_inverse(weight(theta)), theta)


@settings(deadline=None, max_examples=50)
@given(st.lists(axes, min_size=1, max_size=3), st.integers(0, 2**31))
def test_a_tensor_that_is_a_polynomial_gives_back_its_coefficients(chosen, seed):
    rng = np.random.default_rng(seed)
    core = rng.integers(-9, 10, [axis.coefficients for axis in chosen])
    stored = Positional(tuple(chosen), core, bits=8).expand()
    weight = PositionalWeight(chosen).double()
    theta = weight.right_inverse(torch.tensor(stored, dtype=torch.float64))
    np.testing.assert_allclose(weight.coefficients(theta).numpy(), core, atol=1e-6)
    scale = max(1.0, np.abs(stored).max())
    np.testing.assert_allclose(weight.expand(torch.tensor(core), theta).numpy(), stored, atol=1e-9 * scale)
    torch.testing.assert_close(weight.theta(weight.coefficients(theta)), theta)


def test_float32_reproduces_a_polynomial_to_rounding():
    chosen = [Axis(64, segment=4, degree=1), Axis(400, degree=2), Axis(5, degree=2), Axis(5)]
    weight = PositionalWeight(chosen)
    exact = weight.double()(torch.randn(weight.core, dtype=torch.float64))
    weight.float()
    again = weight(weight.right_inverse(exact.float()))
    assert (again - exact).abs().max() < 2e-6 * exact.abs().max()


def test_the_fit_is_least_squares():
    weight = PositionalWeight([Axis(6, segment=4, degree=1), Axis(7, degree=2)], shape=(42,)).double()
    target = torch.randn(42, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    basis = np.kron(weight.axes[0].matrix, weight.axes[1].matrix).astype(float)
    best = basis @ np.linalg.lstsq(basis, target.numpy(), rcond=None)[0]
    np.testing.assert_allclose(weight(weight.right_inverse(target)).numpy(), best, atol=1e-10)


def test_gradients_are_those_of_the_dense_chain_rule():
    chosen = [Axis(6, segment=4, degree=1), Axis(3), Axis(5, degree=2), Axis(5, segment=3, degree=1, nodes="pow2")]
    weight = PositionalWeight(chosen).double()
    theta = torch.randn(weight.core, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(6, 3, 5, 5, dtype=torch.float64)
    (weight(theta) * upstream).sum().backward()
    projected = upstream
    for at, axis in enumerate(chosen):
        projected = torch.tensordot(projected, torch.tensor(dense_q(axis)), ([0], [0])) if at < 4 else projected
    torch.testing.assert_close(theta.grad, projected)
    assert torch.autograd.gradcheck(weight, (theta,))
    assert torch.autograd.gradcheck(lambda c: weight.expand(c, theta.detach()), (weight.coefficients(theta),))


def test_project_is_the_transpose_of_expanding():
    weight = PositionalWeight([Axis(6, segment=4, degree=1), Axis(5, degree=2)]).double()
    values = torch.randn(6, 5, dtype=torch.float64)
    torch.testing.assert_close(weight.project(weight.project(values, 0), 1), weight.right_inverse(values))
    torch.testing.assert_close(weight.project(values.T, 0, dimension=1).T, weight.project(values, 0))


def test_multiply_splits_a_dimension_into_blocks():
    a, b = torch.randn(3, 2), torch.randn(2, 1)
    whole = torch.block_diag(a, a, b)
    x = torch.randn(4, 5, 3)
    torch.testing.assert_close(multiply(x, 1, [(a, 2), (b, 1)]), torch.einsum("ij,njc->nic", whole, x))
    torch.testing.assert_close(multiply(x[..., 0], 1, [(a, 2), (b, 1)]), x[..., 0] @ whole.T)


def test_autocast_does_not_round_the_weight():
    weight = PositionalWeight([Axis(64, segment=4, degree=1), Axis(100, degree=2)])
    theta = torch.randn(weight.core)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = weight(theta)
    assert torch.equal(inside, weight(theta))


def test_moving_a_model_never_rounds_the_bases():
    weight = PositionalWeight([Axis(8, segment=4, degree=1)])
    before = copy.deepcopy(dict(weight.named_buffers()))
    half = copy.deepcopy(weight).to(torch.bfloat16)
    assert all(torch.equal(buffer, before[name]) for name, buffer in half.named_buffers())
    assert all(buffer.dtype == before[name].dtype for name, buffer in half.named_buffers())
    assert half(half.right_inverse(torch.ones(8, dtype=torch.bfloat16))).dtype == torch.bfloat16
    exact = copy.deepcopy(weight).double()
    np.testing.assert_array_equal(exact.q0_0.numpy(), blocks(exact.axes[0])[0].q)
    empty = copy.deepcopy(weight).to("meta").to_empty(device="cpu")
    assert torch.equal(empty.q0_0, before["q0_0"])
    assert not weight.state_dict()


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"shape \(7,\) cannot be read as \(2, 4\)"):
        PositionalWeight([Axis(2), Axis(4)], shape=(7,))


def test_it_says_what_it_is():
    weight = PositionalWeight([Axis(16, 4, 1), Axis(6), Axis(5, degree=2), Axis(5)])
    assert repr(weight) == "PositionalWeight(out=linear/4, row=quadratic, shape=(16, 6, 5, 5))"
