"""Where a study is kept, and with it what many processes know of each other: a file, or any database by its URL."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from horner.errors import MissingToolError, SearchError

TIMEOUT = 60.0
"""Seconds that a process waits for another one's writing to an SQLite file."""
ATTEMPTS = 5
"""At opening a database in which another process may be making the same tables."""


def optuna() -> Any:
    """Return Optuna, its own lines on standard error switched off.

    Raises
    ------
    MissingToolError
        When it is not installed.
    """
    try:
        import optuna as found
    except ImportError as error:
        raise MissingToolError("the search needs Optuna: pip install 'horner[search]'") from error
    found.logging.set_verbosity(found.logging.ERROR)
    return found


def open_storage(place: str) -> Any:
    """Open what a study is kept in.

    Parameters
    ----------
    place
        A database's URL as SQLAlchemy writes it (``sqlite:///study.db``, ``postgresql://...``), or the path of a
        ``.journal`` file, which also works on network file systems.

    Raises
    ------
    SearchError
        When it cannot be reached, or is something else.
    """
    library = optuna()
    if "://" not in place:
        if not place.endswith(".journal"):
            raise SearchError(
                f"--storage {place}: give a URL such as sqlite:///study.db, or the path of a .journal file"
            )
        return _journal(library, place)
    for attempt in range(ATTEMPTS):
        try:
            return _database(library, place)
        except Exception as error:  # SQLAlchemy's, the driver's and Optuna's own errors have no common base
            if attempt + 1 == ATTEMPTS or not _transient(error):
                raise SearchError(f"--storage {shown(place)} cannot be used: {_first_line(error, place)}") from error
            time.sleep(0.2 * 2**attempt)
    raise AssertionError


def shown(place: str) -> str:
    """Return a URL without its password.

    >>> shown("postgresql://me:secret@host/db")
    'postgresql://me:***@host/db'
    """
    return re.sub(r"(://[^:@/]+):.*@", r"\1:***@", place)


def _database(library: Any, url: str) -> Any:
    local = url.startswith("sqlite")
    options: dict[str, Any] = {"connect_args": {"timeout": TIMEOUT}} if local else {"pool_pre_ping": True}
    storage = library.storages.RDBStorage(url, engine_kwargs=options)
    if local:
        _serialise(storage.engine)
    return storage


def _serialise(engine: Any) -> None:
    """Make every transaction of SQLite take the lock at its beginning.

    What is read in it is then still true when it writes, as it is in databases that lock rows; two processes never
    take the same trial.
    """
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own

    @event.listens_for(engine, "begin")
    def began(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()


def _journal(library: Any, path: str) -> Any:
    from optuna.storages.journal import JournalFileBackend

    try:
        with Path(path).open("ab"):
            pass
        return library.storages.JournalStorage(JournalFileBackend(path))
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "strerror", None) or f"it is no journal of Optuna's ({error})"
        raise SearchError(f"--storage {path} cannot be used: {reason}") from error


def _transient(error: Exception) -> bool:
    text = str(error)
    return any(part in text for part in ("already exists", "locked", "UNIQUE constraint"))


def _first_line(error: Exception, place: str) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line.replace(place, shown(place))
