"""Keep the memory that a step frees for the next step, which wants the same again."""

from __future__ import annotations

import ctypes
import functools
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""What glibc's ``malloc.h`` calls ``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD``."""

NEVER = -1
LARGEST_KEPT = 1 << 30
"""Bytes; what is larger still comes from the system, and goes back to it."""


@functools.cache
def keep_freed_memory() -> bool:
    """Make the C library keep what is freed, for the rest of the process; return whether it does.

    By default glibc gives large tensors back to the system when they are freed, and has it clear the pages of the next
    ones: the forward pass of a network of large maps then waits for the system up to a third of its time. The process
    keeps about the largest amount that it ever had in use. Nothing is changed where the C library is another, or
    where the environment has settings of its own for it (``MALLOC_TRIM_THRESHOLD_``, ``GLIBC_TUNABLES`` and the like).
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018
        settings = ((MMAP_THRESHOLD, LARGEST_KEPT), (TRIM_THRESHOLD, NEVER))
        return all(libc.mallopt(name, value) == 1 for name, value in settings)
    except (AttributeError, OSError, TypeError):
        return False
