import pytest

from horner.errors import SearchError
from horner.plan import Plan
from horner.search import worker
from horner.search.finalists import Finals
from horner.search.sampler import make_sampler
from horner.search.shared import MOST_DEATHS, WORKER, Shared
from horner.search.space import Candidate
from horner.search.storage import open_storage
from horner.search.worker import Worker


@pytest.fixture(params=["sqlite:///{}/study.db", "{}/study.journal"])
def place(request, tmp_path):
    return request.param.format(tmp_path)


@pytest.fixture
def two(place, tmp_path):
    """Two workers of different folders on one study."""
    with Worker(tmp_path / "a") as a, Worker(tmp_path / "b") as b:
        yield [Shared(open_storage(place), place, "s", each, make_sampler(0, [])) for each in (a, b)]


def ask(shared):
    trial = shared.study.ask()
    trial.suggest_int("x", 0, 9)
    shared.note(trial.number, **{WORKER: shared.worker.token})
    return trial


def test_trials_of_one_are_seen_by_the_other(two):
    here, there = two
    trial = ask(here)
    assert [t.number for t in there.trials(there.states.RUNNING)] == [trial.number]
    assert here.finish(trial.number, (1.0, 2.0), note="a")
    assert [(t.values, t.user_attrs["note"]) for t in there.finished()] == [([1.0, 2.0], "a")]
    other = ask(there)
    assert other.number == trial.number + 1
    there.finish(other.number, None, "no good")
    assert here.trials(here.states.PRUNED)[0].user_attrs["pruned"] == "no good"


def test_what_a_dead_worker_left_is_done_again_by_one_of_the_others(two, monkeypatch):
    here, there = two
    trial = ask(here)
    assert there.bury() == 0
    monkeypatch.setattr(worker, "GRACE", -1.0)
    assert there.bury() == 1
    assert there.bury() == 0
    assert not here.finish(trial.number, (1.0, 2.0)), "it was not dead, but its work is another's now"
    again = there.study.ask()
    assert again.suggest_int("x", 0, 9) == trial.params["x"]
    assert there.study.trials[again.number].user_attrs["again"] == trial.number
    assert there.finish(again.number, (1.0, 2.0))
    assert [t.state.name for t in here.trials()] == ["FAIL", "COMPLETE"]


def test_a_trial_that_kills_everyone_is_given_up(two, monkeypatch):
    here, there = two
    monkeypatch.setattr(worker, "GRACE", -1.0)
    for _ in range(MOST_DEATHS):
        ask(here)
        there.bury()
    assert [t.state.name for t in here.trials()] == ["FAIL"] * (MOST_DEATHS - 1) + ["PRUNED"]
    assert "processes died" in here.trials()[-1].user_attrs["pruned"]


def test_trials_that_are_given_are_taken_once(two):
    here, there = two
    assert [here.take(trial=7), there.take(trial=7)] == [0, 1]
    assert [t.user_attrs["trial"] for t in here.trials(here.states.RUNNING)] == [7, 7]
    there.drop(1, again=False)
    assert here.finish(0, (0.0, 0.0))


def test_a_finalist_that_kills_everyone_is_given_up(two, monkeypatch, tmp_path):
    here, there = two
    finals = Finals(there, None, 0, tmp_path)
    monkeypatch.setattr(worker, "GRACE", -1.0)
    for _ in range(MOST_DEATHS):
        here.take(trial=4)
        there.bury(lambda trial, deaths: None)
    finals.run([(4, Candidate(Plan()))], print)
    assert [t.state.name for t in here.trials()] == ["FAIL"] * MOST_DEATHS + ["PRUNED"]
    assert finals.rows() == []


def test_a_study_is_gone_on_with_only_by_its_own_search(two, place):
    here, there = two
    here.claim({"network": "a 1", "epochs": 3})
    there.claim({"network": "a 1", "epochs": 3})
    with pytest.raises(SearchError, match=r"holds another search: its epochs is 3, here it is 4; give the same"):
        there.claim({"network": "a 1", "epochs": 4})


def test_a_study_of_something_else_is_refused(two, place, tmp_path):
    here, _ = two
    here.library.create_study(storage=here.storage, study_name="theirs", direction="minimize")
    with Worker(tmp_path) as me, pytest.raises(SearchError, match="a study theirs of something else"):
        Shared(open_storage(place), place, "theirs", me)
    ask(here)
    with pytest.raises(SearchError, match="a study s of something else"):
        here.claim({"network": "a 1"})
