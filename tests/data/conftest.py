"""Small sets in their official forms, and a real HTTP server that misbehaves on demand."""

from __future__ import annotations

import gzip
import io
import tarfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from horner.data import archive, catalog, download, embedded
from horner.data.catalog import Archive, File, Official


@dataclass
class Page:
    """What the server says at one path. Faults are used up one per request; then the page is served well."""

    body: bytes
    ranges: bool = True
    etag: str = '"first"'
    length: bool = True
    redirect: str = ""
    statuses: deque[int] = field(default_factory=deque)
    cuts: deque[int] = field(default_factory=deque)
    stalls: deque[int] = field(default_factory=deque)
    drip: float = 0.0
    lies_about_range: bool = False


class Host:
    """An HTTP server on this machine: its pages, and the requests it has seen as (path, Range header)."""

    page = Page

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, str]] = []
        self.closing = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.requests.append((self.path, self.headers.get("Range", "")))
                host.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        page = self.pages.get(handler.path)
        if page is None or page.statuses:
            handler.send_error(page.statuses.popleft() if page else 404)
            return
        if page.redirect:
            handler.send_response(302)
            handler.send_header("Location", page.redirect)
            handler.end_headers()
            return
        start, wanted = 0, handler.headers.get("Range")
        if wanted and page.ranges and handler.headers.get("If-Range", page.etag) == page.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        body = page.body[start:]
        handler.send_response(206 if start else 200)
        if start:
            told = start - 1 if page.lies_about_range else start
            handler.send_header("Content-Range", f"bytes {told}-{len(page.body) - 1}/{len(page.body)}")
        if page.etag:
            handler.send_header("ETag", page.etag)
        if not page.ranges:
            handler.send_header("Accept-Ranges", "none")
        if page.length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if page.cuts:
            body = body[: page.cuts.popleft()]
        stall = page.stalls.popleft() if page.stalls else None
        try:
            if page.drip:
                for byte in body:
                    handler.wfile.write(bytes([byte]))
                    if self.closing.wait(page.drip):
                        break
            else:
                handler.wfile.write(body[:stall])
                handler.wfile.flush()
                if stall is not None:
                    self.closing.wait(30)
        except OSError:
            pass  # the client has gone
        handler.close_connection = True


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.closing.set()
    host.server.shutdown()
    host.server.server_close()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the user's own folders, proxies or packages, and none waits long."""
    for name in (
        "HORNER_DATA",
        "HORNER_OFFLINE",
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HORNER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(download, "STALL_SECONDS", 0.4)


@cache
def digits() -> dict[str, bytes]:
    """The first 100 training and 40 test images of the embedded subset, as four IDX files."""
    whole = embedded.files()
    counts = {"train": 100, "t10k": 40}
    sliced = {}
    for name, data in whole.items():
        count = counts[name.partition("-")[0]]
        head, item = (16, 784) if "images" in name else (8, 1)
        sliced[name] = data[:4] + count.to_bytes(4, "big") + data[8:head] + data[head : head + count * item]
    return sliced


def records(count: int, label_bytes: int, classes: int, seed: int) -> bytes:
    """``count`` CIFAR records of random pixels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (count, label_bytes), np.uint8)
    labels[:classes, -1] = np.arange(min(classes, count))
    return np.concatenate([labels, rng.integers(0, 256, (count, 3072), np.uint8)], axis=1).tobytes()


def _tar_gz(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def pinned(official: Official, files: dict[str, bytes], **changes: object) -> Official:
    """A copy of a catalogue entry whose canonical files are ``files``."""

    def pin(file: File) -> File:
        return File(file.name, len(files[file.name]), archive.sha256(files[file.name]))

    return replace(
        official,
        train=tuple(map(pin, official.train)),
        test=tuple(map(pin, official.test)),
        **{"homes": (), "npm": None, "debian": None, "embedded": False} | changes,
    )


@pytest.fixture
def tar_gz() -> Callable[[dict[str, bytes]], bytes]:
    """Pack files, by name, into a .tar.gz."""
    return _tar_gz


@dataclass(frozen=True)
class Small:
    """A small set: its catalogue entry and its files' contents."""

    official: Official
    files: dict[str, bytes]

    def write(self, folder: Path, spell: Callable[[str], str] = lambda name: f"{name}.gz") -> Path:
        """Write the files under ``folder``/NAME/ in the official form, or with other file names."""
        inner = folder / self.official.name / self.official.folder
        inner.mkdir(parents=True)
        for name, data in self.files.items():
            spelt = spell(name)
            (inner / spelt).write_bytes(gzip.compress(data) if spelt.endswith(".gz") else data)
        return folder

    def publish(self, host: Host, prefix: str = "") -> str:
        """Serve the set at ``prefix`` as its home does, and return that home's URL."""
        for name, data in self.files.items():
            host.pages[f"/{prefix}{name}.gz"] = Page(gzip.compress(data))
        return f"{host.url}{prefix}"


@pytest.fixture
def mnist() -> Small:
    return Small(pinned(catalog.MNIST, digits()), dict(digits()))


@pytest.fixture
def cifar10() -> Small:
    files = {file.name: records(20, 1, 10, seed) for seed, file in enumerate(catalog.CIFAR_10.files)}
    packed = _tar_gz({f"cifar-10-batches-bin/{name}": data for name, data in files.items()})
    pin = Archive("cifar-10-binary.tar.gz", len(packed), archive.sha256(packed))
    return Small(pinned(catalog.CIFAR_10, files, archive=pin), files)


@pytest.fixture
def cifar100() -> Small:
    files = {"train.bin": records(120, 2, 100, 7), "test.bin": records(100, 2, 100, 8)}
    return Small(pinned(catalog.CIFAR_100, files, archive=None), files)


class Notes(list[str]):
    """Collects what is announced."""

    def __call__(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def notes() -> Notes:
    return Notes()
