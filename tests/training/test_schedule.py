import pytest
from hypothesis import given
from hypothesis import strategies as st

from horner.training.schedule import lr_factor


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
@given(steps=st.integers(1, 400), warmup=st.floats(0, 0.99))
def test_up_then_never_up_again(schedule, steps, warmup):
    factors = [lr_factor(schedule, step, steps, warmup) for step in range(steps)]
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert min(factors) > 0
    assert max(factors) <= 1
    assert max(factors) == 1 or round(warmup * steps) == steps


def test_the_ends():
    assert lr_factor("one-cycle", 0, 1000, 0.3) == 1 / 25
    assert lr_factor("one-cycle", 999, 1000, 0.3) == pytest.approx(1e-3, abs=2e-3)
    assert lr_factor("cosine", 999, 1000, 0.3) < 1e-4
    assert lr_factor("constant", 999, 1000, 0.3) == 1
