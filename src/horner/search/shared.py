"""A study that several processes work on: trials are taken, finished, and taken again where a process has died."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from horner.errors import SearchError
from horner.search.storage import optuna, shown
from horner.search.worker import Worker

MOST_DEATHS = 3
"""Processes that may die of one trial before it is given up."""
WORKER, BEAT, DEATHS, PRUNED = "worker", "beat", "deaths", "pruned"
IDENTITY = "search"


class Shared:
    """One study in a storage, seen by one worker.

    Parameters
    ----------
    storage
        Of `horner.search.storage.open_storage`.
    place
        What the user calls it, for messages.
    sampler
        What proposes; None where every trial is given.
    """

    def __init__(self, storage: Any, place: str, name: str, worker: Worker, sampler: Any = None) -> None:
        self.library, self.storage, self.worker, self.name, self.place = optuna(), storage, worker, name, place
        self.states = self.library.trial.TrialState
        try:
            self.study = self.library.create_study(
                storage=storage, study_name=name, directions=["minimize"] * 2, load_if_exists=True, sampler=sampler
            )
        except Exception as error:  # a database's, a driver's, Optuna's: they have no common base
            raise SearchError(f"--storage {shown(place)} cannot be used: {str(error).splitlines()[0]}") from error
        if len(self.study.directions) != 2:
            raise SearchError(f"--storage {shown(place)} holds a study {name} of something else; give --study a name")
        self.id = storage.get_study_id_from_name(name)

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Make the study this search's own; refuse one of another search, naming what differs."""
        if IDENTITY not in self.study.user_attrs:
            if self.trials():
                raise SearchError(
                    f"{shown(self.place)} holds a study {self.name} of something else; give --study a name"
                )
            self.study.set_user_attr(IDENTITY, dict(identity))
        there = self.study.user_attrs[IDENTITY]
        for key, here in identity.items():
            if there.get(key) != here:
                raise SearchError(
                    f"{shown(self.place)} holds another search: its {key} is {there.get(key)}, here it is {here}; give "
                    f"the same settings to go on with it, or another folder or --study for a new one"
                )

    def trials(self, *states: Any) -> list[Any]:
        """Return the trials, of some states or all, as they are now."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def finished(self) -> list[Any]:
        """Return the trials that came to an end: measured, or given up as hopeless."""
        return self.trials(self.states.COMPLETE, self.states.PRUNED)

    def note(self, number: int, **attributes: Any) -> None:
        """Write attributes to an unfinished trial."""
        trial = self.storage.get_trial_id_from_study_id_trial_number(self.id, number)
        for key, value in attributes.items():
            self.storage.set_trial_user_attr(trial, key, value)

    def take(self, **attributes: Any) -> int:
        """Begin a trial that is given rather than proposed; return its number."""
        marked = {WORKER: self.worker.token, **attributes}
        made = self.library.trial.create_trial(state=self.states.RUNNING, user_attrs=marked)
        self.study.add_trial(made)
        mine = [t for t in self.trials() if all(t.user_attrs.get(key) == value for key, value in marked.items())]
        return mine[-1].number

    def finish(
        self,
        number: int,
        values: Sequence[float] | None,
        why: str = "",
        before: Callable[[], None] = lambda: None,
        **attributes: Any,
    ) -> bool:
        """End a trial: measured, or given up and `why`; return False where others held this process for dead."""
        with self._unless_buried() as held:
            before()
            self.note(number, **attributes, **({PRUNED: why} if values is None else {}))
            state = self.states.PRUNED if values is None else self.states.COMPLETE
            self.study.tell(number, values, state=state)
        return held[0]

    def drop(self, number: int, again: bool) -> None:
        """Leave a trial unfinished; `again`: for another one to do."""
        trial = self.study.get_trials(deepcopy=False)[number]
        with self._unless_buried() as held:
            self.study.tell(number, state=self.states.FAIL)
        if held[0] and again:
            self.queue(trial, trial.user_attrs.get(DEATHS, 0))

    def bury(self, queue: Callable[[Any, int], None] | None = None) -> int:
        """End the trials of processes that have died, and queue them again; return how many."""
        buried = 0
        for trial in self.trials(self.states.RUNNING):
            attributes = trial.user_attrs
            token, beat = attributes.get(WORKER, ""), attributes.get(BEAT, 0)
            if not self.worker.died(token, self.name, trial.number, beat):
                continue
            deaths = attributes.get(DEATHS, 0) + 1
            if deaths >= MOST_DEATHS:
                self.finish(trial.number, None, f"{deaths} processes died of it")
                continue
            with self._unless_buried() as held:
                self.note(trial.number, **{DEATHS: deaths})
                self.study.tell(trial.number, state=self.states.FAIL)
            if held[0]:
                buried += 1
                (queue or self.queue)(trial, deaths)
        return buried

    def queue(self, trial: Any, deaths: int) -> None:
        """Have a trial done again by whoever comes next."""
        if trial.params:
            self.study.enqueue_trial(trial.params, user_attrs={DEATHS: deaths, "again": trial.number})

    @contextlib.contextmanager
    def _unless_buried(self) -> Iterator[list[bool]]:
        """Let what ends a trial fail where another process has ended it already."""
        held = [True]
        try:
            yield held
        except self.library.exceptions.UpdateFinishedTrialError:
            held[0] = False
        except ValueError as error:
            if "Cannot tell a" not in str(error):
                raise
            held[0] = False
