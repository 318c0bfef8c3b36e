import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import axes, generators

from horner.approximation.positional import PositionalWeight
from horner.approximation.ranked import RankedWeight
from horner.basis import Axis
from horner.frontend.tensors import FINENESS, WIDEST_SPREAD, Core, Vector
from horner.plan import RankedPlan
from horner.program.arithmetic import Signed, encode
from horner.program.weights import usual_shifts

SHAPE = (6, 4, 3, 3)


@st.composite
def cores(draw):
    """A core of any form, of random weights, calibrated."""
    weight = torch.from_numpy(draw(generators()).standard_normal(SHAPE)).float()
    bits, entropy = draw(st.integers(2, 10)), None
    if draw(st.booleans()):
        form = PositionalWeight(tuple(draw(axes(n)) for n in SHAPE))
        originals = (form.right_inverse(weight),)
        entropy = draw(st.none() | st.floats(0.1, bits - 0.1))
    else:
        plan = RankedPlan(draw(st.integers(0, 2)), draw(st.integers(1, 5)), draw(st.booleans()), draw(st.booleans()))
        form = RankedWeight(plan, SHAPE)
        originals = form.right_inverse(weight)
    core = Core(form, originals, bits, SHAPE, draw(st.sampled_from([0.0, 0.3, 0.9])), entropy)
    core.calibrate()
    return core


@given(cores())
def test_what_is_simulated_is_what_is_stored(core):
    with torch.no_grad():
        whole = core(quantise=True).double().numpy()
        stored = core.freeze(integer=True).expand()
    exact = np.abs(stored) < 1 << 22
    np.testing.assert_array_equal(stored[exact], whole[exact])
    np.testing.assert_allclose(stored, whole, rtol=2.0**-22)


@given(cores())
def test_the_float_form_holds_the_weights(core):
    with torch.no_grad():
        real = core(quantise=False).numpy()
    np.testing.assert_allclose(core.freeze(integer=False).expand(), real, atol=1e-4 * max(np.abs(real).max(), 1e-3))


@pytest.mark.parametrize(("bits", "most"), [(4, 0.15), (6, 0.04), (8, 0.01), (12, 0.0007)])
@pytest.mark.parametrize("seed", range(5))
def test_rounding_costs_no_more_than_its_bits(bits, most, seed):
    """Few coefficients in many families of unlike size: none is clipped for the sake of the common step."""
    weight = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    form = PositionalWeight((Axis(6), Axis(3), Axis(5, degree=2), Axis(5, degree=2)))
    core = Core(form, (form.right_inverse(weight),), bits, (6, 3, 5, 5))
    core.calibrate()
    with torch.no_grad():
        real, rounded = core(quantise=False), core(quantise=True) * core.step
    assert float((rounded - real).norm() / real.norm()) < most
    assert int(core.shifts.max()) <= WIDEST_SPREAD


@given(generators(), axes(dense=True), st.integers(4, 12), st.floats(1e-4, 1e2), st.booleans())
def test_vectors_are_stored_as_they_are_simulated(generator, axis, bits, unit, whole):
    values = torch.from_numpy(generator.standard_normal(axis.length))
    vector = Vector.of(values, axis, bits)
    step = torch.tensor(unit)
    stored, shift = vector.freeze(step, whole)
    assert shift == 0 or not whole
    with torch.no_grad():
        simulated = vector(step, whole).double().numpy()
    np.testing.assert_allclose(stored.expand() * 2.0**-shift, simulated, rtol=1e-5, atol=1e-5 * np.abs(simulated).max())


def test_pruned_coefficients_are_those_that_bear_least_and_may_come_back():
    weight = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    form = PositionalWeight((Axis(8, 4, 1), Axis(4), Axis(3), Axis(3)))
    whole, pruned = (Core(form, (form.right_inverse(weight),), 14, (8, 4, 3, 3), prune) for prune in (0.0, 0.5))
    for core in (whole, pruned):
        core.calibrate()
    stored, kept = (core.freeze(integer=True).core for core in (whole, pruned))
    gone = kept == 0
    assert gone.mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(kept[~gone], stored[~gone])
    # four filters follow a (1, 1, 1, 1) + b (-3, -1, 1, 3)
    effect = stored.astype(float) ** 2 * np.array([4, 20, 4, 20])[:, None, None, None]
    effect *= 4.0 ** pruned.shifts.numpy().reshape(-1)[[0, 1, 0, 1]][:, None, None, None]
    assert effect[gone].max() <= 1.1 * effect[~gone].min()
    pruned(quantise=True).square().sum().backward()
    assert (pruned.originals[0].grad[torch.from_numpy(gone)] != 0).any()


@pytest.mark.parametrize("entropy", [None, 3.0])
def test_a_core_of_zeros_is_stored_as_zeros(entropy):
    form = PositionalWeight(tuple(Axis(n) for n in SHAPE))
    core = Core(form, (torch.zeros(SHAPE),), 8, SHAPE, entropy=entropy)
    core.calibrate()
    assert not core.freeze(integer=True).expand().any()


def entropy_of(core: Core) -> float:
    counts = np.unique(core.freeze(integer=True).core, return_counts=True)[1]
    return float(-(counts / counts.sum() * np.log2(counts / counts.sum())).sum())


@given(generators(), axes(), st.integers(3, 10), st.floats(0.2, 2.9))
def test_steps_are_as_fine_as_the_entropy_allows(generator, axis, bits, entropy):
    weight = torch.from_numpy(generator.laplace(size=(axis.length, 5, 3, 3))).float()
    form = PositionalWeight((axis, Axis(5), Axis(3), Axis(3)))
    core = Core(form, (form.right_inverse(weight),), bits, tuple(weight.shape), entropy=entropy)
    core.calibrate()
    assert entropy_of(core) <= entropy
    stored = core.freeze(integer=True)
    assert np.array_equal(stored.shifts.ravel(), usual_shifts(form.axes).ravel())
    with torch.no_grad():
        core.log_step -= 1.01 * np.log(2) / FINENESS
        finer, (low, high) = core.real() / (core.step * torch.exp2(core.shifts)[core.families]), core.limits
    assert entropy_of(core) > entropy or finer.min() < low or finer.max() > high


@pytest.mark.parametrize(("entropy", "bits"), [(0.6, 2), (2.0, 3), (4.0, 5)])
def test_what_needs_fewer_bits_than_it_may_have_is_stored_in_fewer(entropy, bits):
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal((32, 16, 3, 3))).float()
    form = PositionalWeight(tuple(Axis(n) for n in weight.shape))
    core = Core(form, (form.right_inverse(weight),), 8, tuple(weight.shape), entropy=entropy)
    core.calibrate()
    stored = core.freeze(integer=True)
    assert stored.bits == bits
    digits = encode(stored.core, bits, Signed)
    assert digits is not None  # in less than an eighth of 8 bits the format would not have them coded
    assert digits.size < 1.05 * entropy_of(core) * stored.core.size


def test_at_one_entropy_few_large_coefficients_cost_less_than_clamped_ones():
    weight = torch.from_numpy(np.random.default_rng(0).laplace(size=(64, 32, 3, 3))).float()
    form = PositionalWeight(tuple(Axis(n) for n in weight.shape))
    clamped = Core(form, (form.right_inverse(weight),), 4, tuple(weight.shape))
    clamped.calibrate()
    free = Core(form, (form.right_inverse(weight),), 8, tuple(weight.shape), entropy=entropy_of(clamped))
    free.calibrate()
    with torch.no_grad():
        errors = [float((core(True) * core.step - weight).square().mean()) for core in (clamped, free)]
    assert errors[1] < 0.8 * errors[0]
    assert entropy_of(free) <= entropy_of(clamped)
