"""One thread, and examples without a stopwatch: tests share their machine with others. Nothing enters the cache.

Ctrl-C means what it does at a terminal, although a shell has jobs in the background ignore it.
"""

import os
import signal

import pytest
import torch
from hypothesis import HealthCheck, settings

from horner.backends.c.compiler import working_cache

settings.register_profile("horner", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("horner")
torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Libraries go to a folder of this run; what zig keeps for every run stays where the user has it."""
    with pytest.MonkeyPatch.context() as patch:
        if "ZIG_GLOBAL_CACHE_DIR" not in os.environ:
            patch.setenv("ZIG_GLOBAL_CACHE_DIR", str(working_cache() / "zig"))
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("HORNER_CACHE", str(folder))
        yield folder
