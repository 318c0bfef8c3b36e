"""Who works on a study, and who has died: processes that share a folder by its locks, others by their heartbeat."""

from __future__ import annotations

import contextlib
import fcntl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from horner.errors import SearchError

BEAT = 15.0
"""Seconds between two signs of life."""
GRACE = 120.0
"""Seconds without one after which a process that cannot be asked counts as dead."""


class Worker:
    """A process as others see it, and others as it sees them.

    A process holds a lock on a file of its own, which the system takes away with it however it ends. Where the file
    is not to be seen (another machine's folder), what counts is whether the beats counted in the study still grow,
    by this process's own clock.

    Parameters
    ----------
    folder
        Where the locks lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".workers"
        self.token = uuid.uuid4().hex
        self._seen: dict[tuple[str, int], tuple[int, float]] = {}

    def __enter__(self) -> Worker:
        self._file = self._open(self.folder / f"{self.token}.lock")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        (self.folder / f"{self.token}.lock").unlink(missing_ok=True)
        self._file.close()

    @contextlib.contextmanager
    def alone(self, task: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Do something that one process at a time may do; `waiting` is called where it is another's turn."""
        with self._open(self.folder / f"{task}.lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def died(self, token: str, study: str, number: int, beat: int) -> bool:
        """Return whether the process that had taken a trial is gone."""
        if token == self.token:
            return False
        path = self.folder / f"{token}.lock"
        if token and path.exists():
            with contextlib.suppress(OSError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
                return True
            return False
        now = time.monotonic()
        last, since = self._seen.get((study, number), (-1, now))
        if beat != last:
            since = now
        self._seen[study, number] = beat, since
        return now - since > GRACE

    @contextlib.contextmanager
    def beating(self, beat: Callable[[int], None]) -> Iterator[None]:
        """Count the beats of this process in the background."""
        done = threading.Event()

        def count() -> None:
            number = 1
            while not done.wait(BEAT):
                with contextlib.suppress(Exception):  # a missed beat does no harm, and a trial may just have ended
                    beat(number)
                number += 1

        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _open(self, path: Path) -> IO[bytes]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("ab")
        except OSError as error:
            raise SearchError(f"cannot write {path}: {error.strerror or error}") from error
