import os
import stat
from pathlib import Path

import pytest

from horner._files import read_bytes, write_atomic
from horner.errors import FileError


def test_bytes_and_text_are_written_as_they_are(tmp_path):
    assert write_atomic(tmp_path / "a", b"\x00\r\n\xff") == tmp_path / "a"
    assert (tmp_path / "a").read_bytes() == b"\x00\r\n\xff"
    write_atomic(str(tmp_path / "b"), "é\n")
    assert (tmp_path / "b").read_bytes() == b"\xc3\xa9\n"


def test_folders_are_made_and_nothing_else(tmp_path):
    write_atomic(tmp_path / "deep" / "er" / "file", b"x")
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["file"]


def test_a_file_is_readable_by_whom_the_umask_allows(tmp_path):
    former = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", b"x")
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    mask = os.umask(former)
    assert mask == former


def test_a_failed_write_keeps_the_former_file_and_leaves_nothing_beside_it(tmp_path, monkeypatch):
    write_atomic(tmp_path / "a", b"former")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"cannot write .*a: No space left on device"):
        write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"former"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_interrupted_write_keeps_the_former_file_and_leaves_nothing_beside_it(tmp_path, monkeypatch):
    write_atomic(tmp_path / "a", b"former")

    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"former"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "folder", tmp_path / "file" / "below", tmp_path / ("n" * 300)):
        with pytest.raises(FileError, match="cannot write"):
            write_atomic(path, b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_reading_back(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a") == read_bytes(str(tmp_path / "a"), limit=5) == b"12345"


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(FileError, match=r"a: 5 bytes, more than the 4 allowed here"):
        read_bytes(tmp_path / "a", limit=4)
    with pytest.raises(FileError, match=r"cannot read .*absent: No such file"):
        read_bytes(tmp_path / "absent")
    with pytest.raises(FileError, match="cannot read"):
        read_bytes(tmp_path)


def test_a_device_that_never_ends_is_not_read():
    with pytest.raises(FileError, match="cannot read /dev/zero: it is a device or a pipe"):
        read_bytes("/dev/zero", limit=1000)
