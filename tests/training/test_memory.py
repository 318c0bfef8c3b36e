import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from horner.training.memory import keep_freed_memory
kept = {keep} and keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(int(kept), min(faults() for _ in range(8)))
"""
PAGES = (16 << 20) * 4 // 4096


def faults(keep: bool, **settings: str) -> tuple[bool, int]:
    """Return whether memory is kept, and the fewest pages that the system gave for a tensor of a size freed before."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(keep=keep)],
        env=plain | settings, capture_output=True, text=True, check=True,
    )  # fmt: skip
    kept, count = map(int, done.stdout.split())
    return bool(kept), count


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_a_tensor_of_a_size_freed_before_costs_no_pages():
    _, usual = faults(False)
    kept, count = faults(True)
    assert kept
    assert count < PAGES / 100 < usual


@pytest.mark.parametrize("setting", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}])
def test_settings_of_the_users_own_stay(setting):
    assert faults(True, **setting)[0] is False
