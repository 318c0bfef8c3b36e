"""Fetching a URL over a network that may be absent, slow, cut or lying.

What was received before a cut is kept and, if the server can serve a range of the same version, only the rest is asked
for. The bytes are handed to the caller in memory: whoever knows their digest decides whether they are good.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from horner import __version__
from horner._files import write_atomic
from horner.data.progress import Report, silent
from horner.errors import DataError, HornerError

CONNECT_SECONDS = 5.0
STALL_SECONDS = 15.0
LEAST_BYTES = 1024  # a connection that brings fewer in STALL_SECONDS has stalled, however busy it looks
ATTEMPTS = 3  # in a row without one new byte
PAUSE_SECONDS = 0.5  # before the second of them; the next pause is longer
CHUNK = 1 << 16
AGENT = f"horner/{__version__}"


class _RefusedError(DataError):
    """The server's answer will not change by asking again."""


def unreachable(urls: Iterable[str], timeout: float = CONNECT_SECONDS) -> dict[str, str]:
    """Try to connect to the hosts of ``urls``, all at once, and say why some cannot be reached.

    A machine without a network learns so here, in at most ``timeout`` seconds altogether. Name lookup has no
    timeout of its own, therefore the threads.

    Returns
    -------
    dict
        From each URL that is out of reach to the reason.
    """
    answers: dict[str, str] = {}
    waiting = {url: threading.Thread(target=_knock, args=(url, timeout, answers), daemon=True) for url in urls}
    for thread in waiting.values():
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in waiting.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    reasons = {url: answers.get(url, f"no answer within {timeout:g} s") for url in waiting}
    return {url: reason for url, reason in reasons.items() if reason}


def _knock(url: str, timeout: float, answers: dict[str, str]) -> None:
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout).close()
        answers[url] = ""
    except (OSError, ValueError) as error:
        answers[url] = f"cannot connect to {parts.hostname}: {_reason(error)}"


def fetch(
    url: str,
    *,
    limit: int,
    keep: Path | None = None,
    report: Report = silent,
) -> bytes:
    """Return the bytes behind ``url``; follow redirects, resume what is cut, give up on what stalls.

    Parameters
    ----------
    url : str
        An http or https address.
    limit : int
        The most bytes to accept.
    keep : Path, optional
        A folder where an unfinished download waits for the next call.
    report : callable
        Is told the bytes received and, where known, the total.

    Raises
    ------
    DataError
        When the server refuses, too much comes, or the connection fails three times in a row with nothing gained.
    """
    note = keep / hashlib.sha256(url.encode()).hexdigest()[:32] if keep else None
    received = _Received.recall(note)
    failures, furthest = 0, len(received.body)
    try:
        while True:
            try:
                _receive(url, received, limit, report)
                return bytes(received.body)
            except (OSError, http.client.HTTPException) as error:
                failures = 1 if len(received.body) > furthest else failures + 1
                furthest = max(furthest, len(received.body))
                if failures >= ATTEMPTS or isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError):
                    raise DataError(f"{url}: {_reason(error)}") from error
                time.sleep(PAUSE_SECONDS * failures)
            except _RefusedError:
                received.forget()
                raise
    finally:
        received.remember(note)


@dataclass
class _Received:
    """What has come so far, and the validator (ETag or date) of the version it belongs to, if there is one."""

    body: bytearray = field(default_factory=bytearray)
    validator: str = ""
    whole: bool = False

    @classmethod
    def recall(cls, note: Path | None) -> _Received:
        if note is None:
            return cls()
        try:
            validator, _, body = note.read_bytes().partition(b"\n")
            note.unlink()
            return cls(bytearray(body), validator.decode("latin-1"))
        except OSError:
            return cls()

    def remember(self, note: Path | None) -> None:
        if note and self.body and self.validator and not self.whole:
            # A cache that cannot be written costs a repeated download, not an error.
            with contextlib.suppress(HornerError):
                write_atomic(note, self.validator.encode("latin-1") + b"\n" + bytes(self.body))

    def forget(self) -> None:
        self.body.clear()
        self.validator = ""


def _receive(url: str, received: _Received, limit: int, report: Report) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": AGENT, "Accept-Encoding": "identity"})
    if received.body and received.validator:
        request.add_header("Range", f"bytes={len(received.body)}-")
        request.add_header("If-Range", received.validator)
    try:
        response = urllib.request.urlopen(request, timeout=STALL_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # what we hold is no beginning of what the server has
                received.forget()
            if error.code in (408, 416, 429) or error.code >= 500:
                raise OSError(f"the server answers {error.code} {error.reason}") from error
            raise _RefusedError(f"{url}: the server answers {error.code} {error.reason}") from error
    with response:
        total = _start(response, received)
        if total is not None and total > limit:
            raise _RefusedError(f"{url}: {total} bytes, more than the {limit} that belong there")
        window_start, window_bytes = time.monotonic(), 0
        while chunk := response.read1(CHUNK):
            received.body += chunk
            report(len(received.body), total)
            if len(received.body) > limit:
                raise _RefusedError(f"{url}: more than the {limit} bytes that belong there")
            window_bytes += len(chunk)
            if (now := time.monotonic()) - window_start > STALL_SECONDS:
                if window_bytes < LEAST_BYTES:
                    raise TimeoutError
                window_start, window_bytes = now, 0
        if total is not None and len(received.body) < total:
            raise ConnectionError(f"cut after {len(received.body)} of {total} bytes")
        received.whole = True


def _start(response: http.client.HTTPResponse, received: _Received) -> int | None:
    """Read the head of an answer: drop what does not go with it, return the total length where it is told."""
    if response.status == 206:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if told and int(told[1]) == len(received.body):
            return int(told[2])
        received.forget()
        raise ConnectionError("the server sends another range than the one asked for")
    received.forget()
    etag = response.headers.get("ETag", "")
    if response.headers.get("Accept-Ranges", "") != "none":
        # A weak ETag may not be used with If-Range (RFC 9110, section 13.1.5).
        received.validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    if isinstance(inner, TimeoutError):
        return "timed out"
    if isinstance(inner, socket.gaierror):
        return "its name cannot be resolved"
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
