import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horner.data import archive
from horner.errors import DataError


def tar(*members):
    """A .tar.gz of (TarInfo, content) pairs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as file:
        for info, content in members:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return out.getvalue()


def member(name, content=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, content


@given(st.binary(max_size=2000))
def test_gunzip_undoes_gzip(data):
    assert archive.gunzip(gzip.compress(data), len(data)) == data


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_data_error(data):
    with pytest.raises(DataError):
        archive.gunzip(data, 1000)


@given(st.binary(min_size=1, max_size=300), st.data())
def test_cut_gzip_data_is_a_data_error(data, draw):
    packed = gzip.compress(data)
    with pytest.raises(DataError, match="ends early"):
        archive.gunzip(packed[: draw.draw(st.integers(0, len(packed) - 1))], len(data))


def test_a_gzip_bomb_is_defused():
    with pytest.raises(DataError, match="more than the 1000 bytes"):
        archive.gunzip(gzip.compress(bytes(10_000_000)), 1000)


def test_members_are_found_in_any_folder_and_others_passed_over():
    data = tar(member("package/a", b"one"), member("deep/er/b", b"two"), member("c", b"three"))
    assert archive.read_members(data, ["a", "b"], 10_000) == {"a": b"one", "b": b"two"}


def test_no_path_of_an_archive_leads_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outside = tmp_path.parent / "outside"
    data = tar(member("../outside", b"evil"), member(str(outside), b"evil"), member("a", b"good"))
    assert archive.read_members(data, ["a"], 10_000) == {"a": b"good"}
    assert not outside.exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "bin"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_plain_file_is_not_read(kind):
    with pytest.raises(DataError, match="lacks a"):
        archive.read_members(tar(member("a", kind=kind, link="/etc/passwd")), ["a"], 10_000)


def test_an_archive_that_holds_too_much_is_refused_before_it_is_unpacked():
    with pytest.raises(DataError, match="more than the 5000 bytes"):
        archive.read_members(tar(member("padding", bytes(1_000_000)), member("a", b"x")), ["a"], 5000)


@pytest.mark.parametrize("damage", [lambda data: data[:200], lambda data: b"nothing like it", lambda data: b""])
def test_a_damaged_archive_is_a_data_error(damage):
    whole = tar(member("a", bytes(range(256)) * 40))
    with pytest.raises(DataError, match=r"damaged archive|lacks a"):
        archive.read_members(damage(whole), ["a"], 100_000)


def test_content_is_verified_by_size_then_by_digest():
    good = archive.sha256(b"content")
    assert archive.verify(b"content", 7, good, "it") == b"content"
    with pytest.raises(DataError, match="it: 6 bytes instead of 7"):
        archive.verify(b"conten", 7, good, "it")
    with pytest.raises(DataError, match=rf"it: the SHA-256 is .* instead of {good}"):
        archive.verify(b"contenT", 7, good, "it")
