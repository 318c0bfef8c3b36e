import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tiny import image, network

from horner.search import seeds
from horner.search.explore import Picker
from horner.search.sampler import Change, child, make_sampler, parents
from horner.search.space import build
from horner.search.storage import optuna

SPACE = build(network(), image())
STARTS = [SPACE.params(candidate) for candidate in seeds.general()]


def study(seed=0, trials=0):
    """A study of a made-up cost: as many trials as asked for, all told."""
    made = optuna().create_study(directions=["minimize"] * 2, sampler=make_sampler(seed, STARTS))
    for _ in range(trials):
        trial = made.ask()
        SPACE.candidate(Picker(trial))
        numbers = [value for value in trial.params.values() if type(value) is int]
        made.tell(trial, (sum(numbers), 100 - sum(numbers)))
    return made


def test_the_seeds_come_first():
    known = [trial.params for trial in study(trials=len(STARTS)).trials]
    assert [known[at].items() <= STARTS[at].items() for at in range(len(STARTS))] == [True] * len(STARTS)


def test_what_comes_then_depends_on_seed_and_number_alone():
    first, again, other = (study(seed, 12) for seed in (1, 1, 2))
    assert [t.params for t in first.trials] == [t.params for t in again.trials]
    assert [t.params for t in first.trials] != [t.params for t in other.trials]
    resumed = study(1, 9)
    resumed.sampler = make_sampler(1, STARTS)
    SPACE.candidate(Picker(resumed.ask()))
    assert resumed.trials[9].params == first.trials[9].params


@given(st.integers(0, 2**31), st.lists(st.sampled_from(STARTS), max_size=4))
def test_children_are_their_parents_but_for_a_few_changes(seed, ahead):
    found = child(np.random.default_rng(seed), ahead)
    assert bool(found) == bool(ahead)
    for name, value in found.items():
        old = value.old if isinstance(value, Change) else value
        assert any(parent.get(name) == old for parent in ahead)
    layers = {name.rpartition(".")[0] for name in found if "." in name}
    for layer in layers:
        own = {name for name in found if name.startswith(f"{layer}.")}
        assert any(own == {name for name in parent if name.startswith(f"{layer}.")} for parent in ahead)


def test_parents_are_within_reach_of_the_budget_where_any_are():
    made = optuna().create_study(directions=["minimize"] * 2)
    for drop, cost in ((1, 9), (30, 1), (2, 8), (3, 9)):
        trial = made.ask()
        trial.suggest_int("cost", 0, 9)
        trial.set_constraint("budget", drop - 5)
        made.tell(trial, (drop, cost))
    assert parents(made.trials) == [made.trials[2].params, made.trials[0].params]
    assert parents(made.trials[1:2]) == [made.trials[1].params]
