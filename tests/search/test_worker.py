import subprocess
import sys
import threading

import pytest

from horner.errors import SearchError
from horner.search import worker
from horner.search.worker import Worker

HOLD = """
import sys
from pathlib import Path
from horner.search.worker import Worker
with Worker(Path(sys.argv[1])) as me:
    print(me.token, flush=True)
    sys.stdin.read()
"""


def test_a_process_is_dead_as_soon_as_it_is_killed_and_not_before(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    token = other.stdout.readline().strip()
    with Worker(tmp_path) as me:
        assert not me.died(token, "study", 0, 0)
        other.kill()
        other.communicate()
        assert me.died(token, "study", 0, 0)
        assert not me.died(me.token, "study", 0, 0)


def test_where_its_lock_is_not_to_be_seen_its_beats_must_grow(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])
    with Worker(tmp_path) as me:
        for seconds, beat, dead in ((0, 5, False), (119, 5, False), (121, 5, True), (122, 6, False), (200, 6, False)):
            now[0] = seconds
            assert me.died("elsewhere", "study", 3, beat) is dead
            assert not me.died("elsewhere", "study", 4, seconds), "another trial has beats of its own"


def test_beats_are_counted_for_as_long_as_the_work_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "BEAT", 0.01)
    beats, enough = [], threading.Event()

    def beat(number):
        beats.append(number)
        if number == 2:
            raise OSError("the database is away for a moment")
        if number == 4:
            enough.set()

    with Worker(tmp_path) as me, me.beating(beat):
        assert enough.wait(10)
    counted = list(beats)
    assert counted[:4] == [1, 2, 3, 4]
    assert threading.active_count() == 1 or beats == counted


def test_one_at_a_time(tmp_path):
    entered, waited = threading.Event(), threading.Event()
    order = []

    def second():
        with Worker(tmp_path) as other, other.alone("task", waited.set):
            order.append("second")

    with Worker(tmp_path) as me:
        with me.alone("task"):
            thread = threading.Thread(target=second)
            thread.start()
            assert waited.wait(10)
            order.append("first")
            entered.set()
        thread.join(10)
    assert order == ["first", "second"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SearchError, match=r"cannot write .*file/\.workers"), Worker(tmp_path / "file"):
        pass
