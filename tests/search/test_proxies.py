import dataclasses

import pytest

from horner.backends import reference
from horner.evaluation import accuracy
from horner.plan import Plan
from horner.program.account import account
from horner.search.proxies import LEAST, OBJECTIVES, Proxies, cost, hopeless, retrain
from horner.search.space import Candidate
from horner.training import TrainConfig

SHORT = TrainConfig(epochs=2, batch_size=32, device="cpu")
GENTLE, HARSH = Plan.parse("5: in=linear map=6x6 row=linear"), Plan.parse("ranked=linear/1bit")


@pytest.fixture
def proxies(trained, data):
    return Proxies(trained[0], data, SHORT, "bytes", 0, 10_000)


def test_a_candidate_goes_through_all_stages_and_costs_what_its_program_does(proxies, data):
    outcome = proxies.measure(Candidate(GENTLE), [])
    made = retrain(proxies.dense, data, Candidate(GENTLE), SHORT, 0)
    right = accuracy(reference.run(made.program, data.validation.images), data.validation.labels)
    assert outcome.drop == pytest.approx(proxies.dense_accuracy - right)
    assert outcome.cost == account(made.program).file_bytes
    assert list(outcome.measured) == ["weights", "activations"]
    assert outcome.measured["activations"][0] <= outcome.measured["weights"][0]
    assert not outcome.pruned


def test_a_dense_candidate_has_no_error(proxies):
    outcome = proxies.measure(Candidate(Plan.parse("dense")), [])
    assert [error for error, _ in outcome.measured.values()] == [0.0, 0.0]
    assert outcome.drop == pytest.approx(0, abs=3)


def test_retraining_recovers_what_the_fit_loses(proxies):
    short = Candidate(Plan.parse("0: out=linear; 5: out=linear in=linear map=6x6"), arrange=False)
    fitted = proxies.measure(short, [])
    trained = dataclasses.replace(proxies, epochs=6).measure(short, [])
    assert trained.drop < fitted.drop


def test_the_hopeless_are_given_up_before_they_are_trained(proxies):
    for stage in ("weights", "activations"):
        others = [{stage: (1e-9, 1.0)}] * LEAST
        outcome = proxies.measure(Candidate(HARSH), others)
        assert outcome.drop is outcome.cost is None
        assert "worse than" in outcome.pruned
        assert list(outcome.measured)[-1] == stage
        assert proxies.measure(Candidate(HARSH), others[1:]).drop is not None
    anew = dataclasses.replace(proxies, epochs=2).measure(Candidate(HARSH, fit="random"), others)
    assert anew.drop is not None


def test_only_those_that_cost_no_more_are_rivals():
    mine = {"weights": (0.5, 100.0)}
    assert hopeless("weights", mine, [{"weights": (0.1, 100.0)}] * LEAST)
    assert not hopeless("weights", mine, [{"weights": (0.1, 101.0)}] * LEAST)
    assert not hopeless("weights", mine, [{"weights": (0.6, 10.0)}] * 2 + [{"weights": (0.1, 10.0)}] * 6)
    assert not hopeless("weights", mine, [{}] * LEAST)


def test_every_objective_is_a_count_of_the_account(proxies, data):
    program = retrain(proxies.dense, data, Candidate(GENTLE), SHORT, 0).program
    numbers = account(program)
    counted = [numbers.file_bytes, numbers.multiplications + numbers.additions, numbers.coefficients]
    assert [cost(program, objective) for objective in OBJECTIVES] == counted


def test_the_short_retraining_sees_fewer_images_of_every_class(proxies, data):
    fewer = dataclasses.replace(proxies, images=100).short
    assert len(fewer.train) == 100
    assert set(fewer.train.labels) == set(data.train.labels)
    assert fewer.validation is data.validation
    assert proxies.short is data
