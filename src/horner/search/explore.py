"""The first half of a search: trials, each a candidate proposed, measured by proxies, and told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from horner.errors import FileError, HornerError, InterruptedTrainingError
from horner.search.display import Display
from horner.search.front import Point, front, worthwhile
from horner.search.proxies import Outcome, Proxies
from horner.search.shared import BEAT, WORKER, Shared
from horner.search.space import Candidate, Picked, Space

RECOVERY = 4.0
"""Points of accuracy that the full retraining is hoped to win over the short one; candidates that lose more than the
budget and this are not sought after. Small plans win most: LeNet-5 in 765 bytes loses 4.1 points after the short one
and 0.7 after the full one, both of the validation images.
"""
POLL = 0.5
"""Seconds between two looks at what others are doing."""


@dataclass(frozen=True)
class Picker:
    """Has a trial of Optuna's choose."""

    trial: Any

    def ordered(self, name: str, count: int) -> int:
        """Return a number that the sampler proposes."""
        return int(self.trial.suggest_int(name, 0, count - 1))

    def among(self, name: str, options: Sequence[Any]) -> Any:
        """Return an option that the sampler proposes."""
        return self.trial.suggest_categorical(name, list(options))


@dataclass(frozen=True)
class Exploration:
    """What is searched, and how much.

    Parameters
    ----------
    shared
        The study.
    max_drop
        The budget, in points of accuracy.
    trials
        Of the whole study, by all its workers, those given up included.
    """

    shared: Shared
    space: Space
    proxies: Proxies
    max_drop: float
    trials: int
    display: Display

    def run(self) -> None:
        """Work until the study has all its trials; trials of workers that die meanwhile are done again."""
        shared = self.shared
        while True:
            if buried := shared.bury():
                self.display.say(f"a worker died; its {'trial is' if buried == 1 else 'trials are'} done again")
            finished = len(shared.finished())
            self.display.advance(finished, self.trials)
            if finished >= self.trials:
                return
            if finished + len(shared.trials(shared.states.RUNNING)) >= self.trials:
                time.sleep(POLL)  # others are at the last ones
                continue
            self._one()

    def points(self) -> list[Point]:
        """Return all trials that were measured to the end, first to last."""
        return [Point(t.number, *t.values) for t in self.shared.trials(self.shared.states.COMPLETE)]

    def candidate(self, number: int) -> Candidate:
        """Return what a trial was about."""
        return self.space.candidate(Picked(self.shared.trials()[number].params))

    def finalists(self, most: int) -> list[int]:
        """Return the numbers of the trials worth a full retraining."""
        return [point.number for point in worthwhile(self.front(), self.max_drop, most)]

    def front(self) -> list[Point]:
        """Return the trials that no other beats, within reach of the budget; where none is, the nearest to it."""
        points = self.points()
        hopeful = [point for point in points if point.drop <= self.max_drop + RECOVERY]
        nearest = sorted(points, key=lambda point: (point.drop, point.cost))[:1]
        return front(hopeful or nearest, key=lambda point: (point.drop, point.cost))

    def _one(self) -> None:
        """Take, measure and tell one trial."""
        shared = self.shared
        trial = shared.study.ask()
        shared.note(trial.number, **{WORKER: shared.worker.token})
        counted = (shared.states.COMPLETE, shared.states.PRUNED, shared.states.RUNNING)
        if sum(other.number < trial.number for other in shared.trials(*counted)) >= self.trials:
            shared.note(trial.number, surplus=True)  # another took the last one at the same moment
            shared.drop(trial.number, again=False)
            return
        began = time.monotonic()
        try:
            candidate = self.space.candidate(Picker(trial))
            with shared.worker.beating(lambda beat: shared.note(trial.number, **{BEAT: beat})):
                outcome = self._measure(candidate)
        except (KeyboardInterrupt, InterruptedTrainingError):
            shared.drop(trial.number, again=True)
            raise
        except BaseException:
            shared.drop(trial.number, again=False)
            raise
        seconds = round(time.monotonic() - began, 1)
        notes = {**candidate.to_dict(), "measured": outcome.measured, "seconds": seconds}
        drop, values = outcome.drop, None
        if drop is not None and outcome.cost is not None:
            values = [drop, outcome.cost]

        def judge() -> None:
            if drop is not None:
                trial.set_constraint("budget", drop - self.max_drop - RECOVERY)

        if not shared.finish(trial.number, values, outcome.pruned, judge, **notes):
            self.display.say(f"trial {trial.number}: others held this worker for dead and do it again")
            return
        self.display.trial(trial.number, outcome, self.front(), seconds)

    def _measure(self, candidate: Candidate) -> Outcome:
        before = self.shared.finished()
        told = candidate.to_dict()
        for trial in before:
            if trial.values is not None and all(trial.user_attrs.get(key) == value for key, value in told.items()):
                return Outcome(trial.user_attrs["measured"], *trial.values)  # proposed before
        others = [trial.user_attrs.get("measured", {}) for trial in before]
        try:
            return self.proxies.measure(candidate, others)
        except (InterruptedTrainingError, FileError):
            raise
        except HornerError as error:  # a loss that is lost, a plan that does not fit: no good, but no reason to stop
            return Outcome({}, pruned=" ".join(str(error).split()))
