import gzip

import pytest

from horner.data import local
from horner.data.local import cache_folder, data_folder, from_cache, from_folder, partial_folder, store
from horner.errors import DataError, HornerError


def contents(found):
    return [data for _, data in found.files]


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: f"{name}.gz",
        lambda name: name,
        lambda name: name.replace("-idx", ".idx"),
        lambda name: f"{name.replace('-idx', '.idx')}.gz",
    ],
    ids=["official", "unzipped", "dotted", "dotted and zipped"],
)
def test_idx_files_are_found_however_they_are_spelt(mnist, tmp_path, spell):
    found = from_folder(mnist.official, mnist.write(tmp_path, spell))
    assert contents(found) == list(mnist.files.values())
    assert found.complete
    assert found.source == f"data folder {tmp_path}"


@pytest.mark.parametrize("which", ["cifar10", "cifar100"])
def test_cifar_batches_are_found_in_their_official_folder(which, request, tmp_path):
    small = request.getfixturevalue(which)
    found = from_folder(small.official, small.write(tmp_path, lambda name: name))
    assert contents(found) == list(small.files.values())
    assert found.complete


def test_cifar_batches_are_also_found_without_it(cifar10, tmp_path):
    (tmp_path / "cifar-10").mkdir()
    for name, data in cifar10.files.items():
        (tmp_path / "cifar-10" / name).write_bytes(data)
    assert contents(from_folder(cifar10.official, tmp_path)) == list(cifar10.files.values())


def test_the_official_archive_serves_as_it_is(cifar10, tmp_path, tar_gz):
    packed = tar_gz({f"cifar-10-batches-bin/{name}": data for name, data in cifar10.files.items()})
    (tmp_path / "cifar-10").mkdir()
    (tmp_path / "cifar-10" / "cifar-10-binary.tar.gz").write_bytes(packed)
    assert contents(from_folder(cifar10.official, tmp_path)) == list(cifar10.files.values())


def test_other_well_formed_files_count_but_not_as_the_set(mnist, tmp_path):
    mnist.files["t10k-labels-idx1-ubyte"] = mnist.files["t10k-labels-idx1-ubyte"][:-1] + b"\x00"
    assert not from_folder(mnist.official, mnist.write(tmp_path)).complete


def test_a_folder_without_the_set_is_no_error(mnist, tmp_path):
    assert from_folder(mnist.official, tmp_path) is None


def test_a_missing_file_is_named(mnist, tmp_path):
    mnist.write(tmp_path)
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"mnist lacks t10k-labels-idx1-ubyte \(or t10k-labels-idx1-ubyte.gz\)"):
        from_folder(mnist.official, tmp_path)


def test_a_file_in_place_of_the_sets_folder_is_an_error(mnist, tmp_path):
    (tmp_path / "mnist").write_text("not a folder")
    with pytest.raises(DataError, match="mnist lacks train-images"):
        from_folder(mnist.official, tmp_path)


def test_a_folder_in_place_of_a_file_is_an_error_that_names_it(mnist, tmp_path):
    mnist.write(tmp_path)
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=f"cannot read {path}: Is a directory"):
        from_folder(mnist.official, tmp_path)


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"", lambda data: b"\x1f\x8bnothing"])
def test_a_damaged_gz_file_is_an_error_that_names_it(mnist, tmp_path, damage):
    mnist.write(tmp_path)
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"{path}: .*(early|damaged)"):
        from_folder(mnist.official, tmp_path)


def test_a_gz_file_that_swells_beyond_the_limit_is_refused(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "LIMIT", 1_000_000)
    mnist.write(tmp_path)
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(2_000_000)))
    with pytest.raises(DataError, match="more than the 1000000 bytes"):
        from_folder(mnist.official, tmp_path)


def test_the_callers_folder_goes_before_the_variable(tmp_path, monkeypatch):
    assert data_folder(None) is None
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.setenv("HORNER_DATA", str(tmp_path / "a"))
    assert data_folder(None) == tmp_path / "a"
    assert data_folder(tmp_path / "b") == tmp_path / "b"


def test_a_data_folder_that_is_none_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="given as the data folder, does not exist"):
        data_folder(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HORNER_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match="named by HORNER_DATA, is not a folder"):
        data_folder(None)


def test_a_folder_that_cannot_be_looked_at_is_an_error_that_names_it(mnist, tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*: File name too long"):
        data_folder(tmp_path / ("x" * 300))


def test_the_cache_is_where_the_variables_say(tmp_path, monkeypatch):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("HORNER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "horner"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "horner"


def test_what_is_stored_is_read_back_and_unfinished_downloads_go(mnist, tmp_path, notes):
    waiting = partial_folder(mnist.official)
    waiting.mkdir(parents=True)
    (waiting / "half").write_bytes(b"half")
    with pytest.raises(DataError, match="does not hold train-images"):
        from_cache(mnist.official, notes)
    store(mnist.official, mnist.files)
    assert from_cache(mnist.official, notes) == mnist.files
    assert not waiting.exists()
    assert notes == []
    assert sorted(path.name for path in (tmp_path / "cache" / "mnist").iterdir()) == sorted(mnist.files)


def test_a_damaged_cache_file_is_thrown_away_and_told(mnist, tmp_path, notes):
    store(mnist.official, mnist.files)
    path = tmp_path / "cache" / "mnist" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x99")
    with pytest.raises(DataError, match="the SHA-256 is"):
        from_cache(mnist.official, notes)
    assert not path.exists()
    assert "threw away a damaged file" in notes[0]


def test_a_cache_that_cannot_be_written_is_an_error_and_leaves_nothing(mnist, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "mnist").write_text("in the way")
    with pytest.raises(HornerError, match="cannot write"):
        store(mnist.official, mnist.files)
    assert (tmp_path / "cache" / "mnist").read_text() == "in the way"
