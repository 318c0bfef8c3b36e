"""Ctrl-C and SIGTERM between two steps rather than in the midst of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Request:
    """Whether a stop was asked for."""

    asked = False


@contextmanager
def stop_requests() -> Iterator[Request]:
    """Note a first SIGINT or SIGTERM instead of obeying it; a second one is obeyed at once.

    Signals reach the main thread only; elsewhere nothing changes.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        request.asked = True
        signal.signal(signal.SIGINT, former[signal.SIGINT])
        signal.signal(signal.SIGTERM, former[signal.SIGTERM])

    former = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}
    for number in former:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
