"""What is tried next: plans known to work, then children of the best so far, and what an estimator expects of the rest.

A network has some thirty choices, and a search perhaps a hundred trials: points drawn at random are hopeless, and
an estimator learns slowly. So most proposals stay near the front: a layer's form from one parent or another, and a
few choices changed by a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from horner.search.front import front
from horner.search.space import Params
from horner.search.storage import optuna
from horner.training.batches import seed_of

ESTIMATED = 4
"""One proposal in so many is the estimator's."""
TWO_PARENTS = 0.5
"""Share of the children that have two parents."""
MOST_CHANGES = 3
LONGEST_STEP = 2


def make_sampler(seed: int, seeds: Sequence[Params]) -> Any:
    """Return a sampler of Optuna's.

    It proposes the seeds in their order, then children of the front, and every fourth time what a tree-structured
    Parzen estimator (Bergstra et al., 2011) does. What it draws depends on the seed, the number of the trial and
    what is known by then, not on who asks.
    """
    library = optuna()
    states = library.trial.TrialState

    class Sampler(library.samplers.BaseSampler):  # type: ignore[name-defined]
        """Proposes one trial at a time."""

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            """Prepare for a trial; its choices are made one by one."""
            drawn = seed_of(seed, "trial", trial.number) % 2**32
            self.estimator = library.samplers.TPESampler(seed=drawn, n_startup_trials=len(seeds))
            self.random = np.random.default_rng(drawn)
            self.given: Params = {}
            if trial.number < len(seeds):
                self.given = seeds[trial.number]
            elif trial.number % ESTIMATED:
                self.given = child(self.random, parents(study.get_trials(deepcopy=False, states=(states.COMPLETE,))))
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> Params:
            """Choose nothing at once."""
            return {}

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            """Choose one thing: as given, a step from there, or what the estimator expects most of."""
            if param_name not in self.given:
                return self.estimator.sample_independent(study, trial, param_name, param_distribution)
            value = self.given[param_name]
            if not isinstance(value, Change):
                return value
            if isinstance(param_distribution, library.distributions.IntDistribution):
                near = range(value.old - LONGEST_STEP, value.old + LONGEST_STEP + 1)
                options = [n for n in near if param_distribution.low <= n <= param_distribution.high]
            else:
                options = list(param_distribution.choices)
            others = [option for option in options if option != value.old] or options
            return others[int(self.random.integers(len(others)))]

    return Sampler()


class Change:
    """A choice that is to be another than its parent's."""

    def __init__(self, old: Any) -> None:
        self.old = old


def parents(trials: Sequence[Any]) -> list[Params]:
    """Return the choices of the trials on the front, of those within reach of the budget where there are any."""
    feasible = [trial for trial in trials if all(value <= 0 for value in trial.constraints.values())]
    return [trial.params for trial in front(feasible or trials, key=lambda trial: tuple(trial.values))]


def child(random: np.random.Generator, ahead: Sequence[Params]) -> Params:
    """Return choices taken from one of the front, or layer by layer from two of them, some marked to be changed.

    >>> ahead = [{"a.out": 1, "a.bits": 2, "bias": 0}, {"a.out": 5, "a.bits": 4, "bias": 3}]
    >>> found = child(np.random.default_rng(0), ahead)
    >>> sorted(found), sum(isinstance(value, Change) for value in found.values()) in (1, 2, 3)
    (['a.bits', 'a.out', 'bias'], True)
    """
    if not ahead:
        return {}
    one, other = (ahead[int(random.integers(len(ahead)))] for _ in range(2))
    if random.random() >= TWO_PARENTS:
        other = one
    owners: dict[str, Params] = {}
    found: Params = {}
    for name in sorted({*one, *other}):
        source = owners.setdefault(name.rpartition(".")[0] or name, (one, other)[int(random.integers(2))])
        if name in source:
            found[name] = source[name]
    changed = random.permutation(sorted(found))[: int(random.integers(1, MOST_CHANGES + 1))]
    return {name: Change(value) if name in changed else value for name, value in found.items()}
