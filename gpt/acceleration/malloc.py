"""What becomes of freed memory: kept for the next step, or given back to the system.

A training step frees all of its activations, and the next asks for as much again. glibc, left to
itself, gives much of that back, and the system then fills every page with zeros once more: up to a
third of a step's time (docs/speed-log.md). Workers keep it from their start, and between two runs
give it back, so that the peak of one is not counted for the other.

Elsewhere than with glibc (macOS, musl, Windows) nothing is done, and nothing is known of it.
"""

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """From now on this process keeps what it frees; False where that can't be asked for."""
    libc = _glibc()
    if libc is None:
        return False
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, NEVER))


def return_freed_memory() -> None:
    """Give back to the system what is free at this moment."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform == "win32":
        return None
    libc = ctypes.CDLL(None)  # what this process has loaded already
    return libc if hasattr(libc, "gnu_get_libc_version") else None
