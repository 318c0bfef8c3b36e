"""Rounding coefficients to their bits costs as little as the bits allow."""

import pytest
import torch

from horner.approximation.positional import PositionalWeight
from horner.basis import Axis
from horner.frontend.tensors import Core

AXES = (Axis(6), Axis(3), Axis(5, degree=2), Axis(5, degree=2))


@pytest.mark.parametrize(("bits", "most"), [(4, 0.15), (6, 0.04), (8, 0.01), (12, 0.0007)])
@pytest.mark.parametrize("seed", range(5))
def test_rounding_costs_no_more_than_its_bits(bits, most, seed):
    """Few coefficients in many families of unlike size: none is clipped for the sake of the common step."""
    weight = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    form = PositionalWeight(AXES)
    core = Core(form, (form.right_inverse(weight),), bits, (6, 3, 5, 5))
    core.calibrate()
    with torch.no_grad():
        real, rounded = core(quantise=False), core(quantise=True) * core.step
    assert float((rounded - real).norm() / real.norm()) < most
