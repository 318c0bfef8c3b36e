import gzip
from collections import deque
from dataclasses import replace

import pytest

from horner.data.homes import fetch_set
from horner.errors import DataError


def test_a_set_is_fetched_file_by_file(mnist, host, notes):
    home = mnist.publish(host, "mnist/")
    assert fetch_set(replace(mnist.official, homes=(home,)), notes) == mnist.files
    assert len(host.requests) == 4
    assert notes == [f"mnist: fetching from {home}"]


def test_any_recompression_of_the_right_content_is_right(mnist, host, notes):
    home = mnist.publish(host)
    for name, data in mnist.files.items():
        host.pages[f"/{name}.gz"].body = gzip.compress(data, compresslevel=1, mtime=12345)
    assert fetch_set(replace(mnist.official, homes=(home,)), notes) == mnist.files


def test_a_corrupt_file_is_discarded_and_the_next_home_asked_from_there_on(mnist, host, notes):
    bad, good = mnist.publish(host, "bad/"), mnist.publish(host, "good/")
    wrong = mnist.files["train-labels-idx1-ubyte"][:-1] + b"\x07"
    host.pages["/bad/train-labels-idx1-ubyte.gz"] = host.page(gzip.compress(wrong))
    assert fetch_set(replace(mnist.official, homes=(bad, good)), notes) == mnist.files
    assert [path.split("/")[1] for path, _ in host.requests] == ["bad", "bad", "good", "good", "good"]


@pytest.mark.parametrize(
    "body",
    [b"<html>Service moved</html>", b"", gzip.compress(b"short", mtime=0), gzip.compress(bytes(99999), mtime=0)],
    ids=["a page", "nothing", "too short", "too long"],
)
def test_whatever_else_comes_is_never_taken_for_the_set(mnist, host, notes, body):
    home = mnist.publish(host)
    host.pages["/train-images-idx3-ubyte.gz"] = host.page(body)
    with pytest.raises(DataError, match=rf"{home}train-images-idx3-ubyte.gz: "):
        fetch_set(replace(mnist.official, homes=(home,)), notes)


def test_every_homes_failure_is_told(mnist, host, notes):
    missing = f"{host.url}missing/"
    cut = mnist.publish(host, "cut/")
    host.pages["/cut/train-images-idx3-ubyte.gz"].cuts = deque([5, 0, 0, 0])
    closed = "http://127.0.0.1:1/"
    with pytest.raises(DataError) as caught:
        fetch_set(replace(mnist.official, homes=(missing, cut, closed)), notes)
    message = str(caught.value)
    assert f"{missing}train-images-idx3-ubyte.gz: the server answers 404" in message
    assert f"{cut}train-images-idx3-ubyte.gz: cut after 5 of" in message
    assert f"{closed}: cannot connect to 127.0.0.1" in message


def test_a_set_cut_off_goes_on_from_there_the_next_time(mnist, host, notes):
    official = replace(mnist.official, homes=(mnist.publish(host),))
    host.pages["/train-images-idx3-ubyte.gz"].cuts = deque([1000, 0, 0, 0])
    with pytest.raises(DataError, match="cut after 1000"):
        fetch_set(official, notes)
    host.requests.clear()
    host.pages["/train-images-idx3-ubyte.gz"].cuts.clear()
    assert fetch_set(official, notes) == mnist.files
    assert host.requests[0] == ("/train-images-idx3-ubyte.gz", "bytes=1000-")


def test_an_archive_is_fetched_verified_and_opened(cifar10, host, notes, tar_gz):
    packed = tar_gz({f"cifar-10-batches-bin/{name}": data for name, data in cifar10.files.items()})
    host.pages["/cifar-10-binary.tar.gz"] = host.page(packed, cuts=deque([100_000]))
    official = replace(cifar10.official, homes=(host.url,))
    assert fetch_set(official, notes) == cifar10.files
    assert host.requests[-1] == ("/cifar-10-binary.tar.gz", "bytes=100000-")


def test_another_archive_is_refused(cifar10, host, notes, tar_gz):
    other = tar_gz({f"x/{name}": data for name, data in cifar10.files.items()})
    host.pages["/cifar-10-binary.tar.gz"] = host.page(other[: cifar10.official.archive.size])
    with pytest.raises(DataError, match=r"bytes instead of|SHA-256"):
        fetch_set(replace(cifar10.official, homes=(host.url,)), notes)
