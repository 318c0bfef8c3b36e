import socket
import threading
import time
from collections import deque

import pytest

from horner.data import download, packages
from horner.data.download import fetch, unreachable
from horner.errors import DataError

BODY = bytes(range(256)) * 2000  # half a megabyte


@pytest.fixture
def page(host):
    host.pages["/set.gz"] = host.page(BODY)
    return host.pages["/set.gz"]


@pytest.fixture
def url(host):
    return f"{host.url}set.gz"


def get(url, **options):
    return fetch(url, **{"limit": len(BODY), **options})


def test_a_file_arrives_whole_and_progress_ends_at_the_total(url, page):
    told = []
    assert get(url, report=lambda done, total: told.append((done, total))) == BODY
    assert told[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_file_of_unannounced_length_arrives(url, page):
    page.length = False
    assert get(url) == BODY


def test_redirects_are_followed(host, url, page):
    host.pages["/old"] = host.page(b"", redirect="/older")
    host.pages["/older"] = host.page(b"", redirect=url)
    assert get(f"{host.url}old") == BODY


def test_a_cut_download_resumes_where_it_was_cut(host, url, page):
    page.cuts = deque([200_000, 100_000])
    assert get(url) == BODY
    assert [asked for _, asked in host.requests] == ["", "bytes=200000-", "bytes=300000-"]


def test_progress_between_cuts_is_never_held_against_the_server(host, url, page):
    page.cuts = deque([40_000] * 10)
    assert get(url) == BODY
    assert len(host.requests) == 11


def test_a_server_without_ranges_is_asked_for_everything_again(host, url, page):
    page.ranges = False
    page.cuts = deque([200_000])
    assert get(url) == BODY
    assert [asked for _, asked in host.requests] == ["", ""]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_validator_nothing_is_resumed(host, url, page, etag):
    page.etag = etag
    page.cuts = deque([200_000])
    assert get(url) == BODY
    assert [asked for _, asked in host.requests] == ["", ""]


def test_a_file_that_changed_meanwhile_is_taken_whole_in_its_new_version(host, url, page, tmp_path):
    page.cuts = deque([200_000, 0, 0, 0])
    with pytest.raises(DataError, match="cut after 200000 of 512000 bytes"):
        get(url, keep=tmp_path / "keep")
    page.cuts.clear()
    page.body, page.etag = BODY[::-1], '"second"'
    assert get(url, keep=tmp_path / "keep") == BODY[::-1]
    assert host.requests[-1][1] == "bytes=200000-"


def test_an_unfinished_download_waits_for_the_next_call(host, url, page, tmp_path):
    page.cuts = deque([300_000, 0, 0, 0])
    with pytest.raises(DataError):
        get(url, keep=tmp_path / "keep")
    assert len([*(tmp_path / "keep").iterdir()]) == 1
    page.cuts.clear()
    assert get(url, keep=tmp_path / "keep") == BODY
    assert host.requests[-1][1] == "bytes=300000-"
    assert [*(tmp_path / "keep").iterdir()] == []


def test_an_interrupted_download_waits_for_the_next_call(host, url, page, tmp_path):
    def interrupt(done, total):
        if done > 250_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(url, keep=tmp_path / "keep", report=interrupt)
    assert get(url, keep=tmp_path / "keep") == BODY
    assert int(host.requests[-1][1][6:-1]) > 250_000


def test_a_folder_that_cannot_be_written_costs_only_the_resumption(host, url, page, tmp_path):
    (tmp_path / "file").write_text("in the way")
    page.cuts = deque([300_000, 0, 0, 0])
    with pytest.raises(DataError, match="cut after"):
        get(url, keep=tmp_path / "file")
    assert get(url, keep=tmp_path / "file") == BODY


def test_a_range_that_was_not_asked_for_is_refused_and_everything_fetched_again(host, url, page):
    page.cuts = deque([200_000])
    page.lies_about_range = True
    assert get(url) == BODY
    assert [asked for _, asked in host.requests] == ["", "bytes=200000-", ""]


def test_a_range_that_cannot_be_satisfied_starts_over(host, url, page):
    page.cuts = deque([200_000])

    def refuse_the_next(done, total):
        if done == 200_000:
            page.statuses.append(416)

    assert get(url, report=refuse_the_next) == BODY
    assert [asked for _, asked in host.requests] == ["", "bytes=200000-", ""]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(host, url, page, status):
    page.statuses = deque([status, status])
    assert get(url) == BODY
    assert len(host.requests) == 3


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final(host, url, page, status):
    page.statuses = deque([status])
    with pytest.raises(DataError, match=f"answers {status}"):
        get(url)
    assert len(host.requests) == 1


def test_a_server_that_gives_nothing_is_given_up_after_three_attempts(host, url, page):
    page.cuts = deque([0] * 9)
    with pytest.raises(DataError, match="cut after 0 of 512000 bytes"):
        get(url)
    assert len(host.requests) == 3


def test_a_stall_times_out_and_the_rest_is_asked_for(host, url, page):
    page.stalls = deque([100_000])
    begun = time.monotonic()
    assert get(url) == BODY
    assert time.monotonic() - begun < 3
    assert host.requests[1][1].startswith("bytes=")


def test_a_server_that_always_stalls_is_given_up(url, page):
    page.stalls = deque([0] * 9)
    begun = time.monotonic()
    with pytest.raises(DataError, match="timed out"):
        get(url)
    assert time.monotonic() - begun < 3


def test_a_trickle_counts_as_a_stall(host, url, page):
    page.drip, page.ranges = 0.05, False
    begun = time.monotonic()
    with pytest.raises(DataError, match="timed out"):
        get(url)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("length", [True, False])
def test_more_bytes_than_belong_there_are_refused(host, url, page, length):
    page.length = length
    with pytest.raises(DataError, match="more than the 1000"):
        get(url, limit=1000)
    assert len(host.requests) == 1


def test_a_closed_port_is_out_of_reach_and_an_open_one_is_not(host):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        reasons = unreachable([host.url, closed])
    assert list(reasons) == [closed]
    assert "refused" in reasons[closed]


def test_a_name_lookup_that_hangs_delays_nobody_longer_than_the_timeout(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: release.wait(5) and [])
    begun = time.monotonic()
    reasons = unreachable(["https://one.invalid/", "https://two.invalid/"], timeout=0.2)
    assert time.monotonic() - begun < 1
    assert set(reasons.values()) == {"no answer within 0.2 s"}
    release.set()


def test_behind_a_proxy_it_is_the_proxy_that_must_be_in_reach(host, monkeypatch):
    monkeypatch.setenv("http_proxy", host.url)
    assert unreachable(["http://horner.invalid/"]) == {}
    assert host.requests == []


def test_the_patience_allows_a_machine_without_network_to_fall_through_in_seconds():
    assert download.CONNECT_SECONDS + packages.LOOK_SECONDS < 15


def test_what_waits_is_one_file_named_after_the_address(url, page, tmp_path):
    page.cuts = deque([10, 0, 0, 0])
    with pytest.raises(DataError):
        get(url, keep=tmp_path / "keep")
    (waiting,) = (tmp_path / "keep").iterdir()
    assert waiting.read_bytes() == b'"first"\n' + BODY[:10]
