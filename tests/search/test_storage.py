import re
import sys

import pytest

from horner.errors import MissingToolError, SearchError
from horner.search import storage
from horner.search.storage import open_storage, optuna, shown


@pytest.mark.parametrize("name", ["sqlite:///{}/study.db", "{}/study.journal"])
def test_what_one_opening_writes_another_reads(name, tmp_path):
    place = name.format(tmp_path)
    library = optuna()
    study = library.create_study(storage=open_storage(place), study_name="a", directions=["minimize"] * 2)
    study.set_user_attr("b", 1)
    assert library.load_study(storage=open_storage(place), study_name="a").user_attrs == {"b": 1}


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("sqlite:////nowhere/study.db", "unable to open database file"),
        ("nonsense://host/db", "nonsense"),
        ("study.txt", "give a URL such as sqlite:///study.db, or the path of a .journal file"),
        ("/nowhere/a.journal", "No such file"),
        ("postgresql://me:secret@localhost:1/db", "cannot be used"),
    ],
)
def test_a_place_that_cannot_be_used_is_one_line(place, reason):
    with pytest.raises(SearchError, match=re.escape(reason)) as caught:
        open_storage(place)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_files_that_are_something_else_are_refused(tmp_path):
    for name, place in (("a.db", f"sqlite:///{tmp_path}/a.db"), ("a.journal", f"{tmp_path}/a.journal")):
        (tmp_path / name).write_bytes(b"something else, long enough to be looked at\n" * 9)
        with pytest.raises(SearchError, match="cannot be used"):
            open_storage(place)


def test_without_optuna_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingToolError, match=re.escape("pip install 'horner[search]'")):
        storage.open_storage("sqlite:///a.db")


def test_passwords_are_not_shown():
    assert shown("mysql+pymysql://me:a:b@host:3306/db") == "mysql+pymysql://me:***@host:3306/db"
    for place in ("sqlite:////a/b.db", "postgresql://me@host:5432/db", "a@b.journal"):
        assert shown(place) == place
