import os
import signal
import threading

import pytest

from horner.training.interrupt import stop_requests


def test_the_first_signal_is_noted_and_the_second_obeyed():
    before = signal.getsignal(signal.SIGINT)
    with stop_requests() as request:
        assert not request.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert request.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_runs_without_handlers():
    seen = []

    def work():
        with stop_requests() as request:
            seen.append(request.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
