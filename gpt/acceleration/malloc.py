"""What happens to freed memory: it is kept for the next step, or given back to the system.

A training step frees all of its activations, and the next allocates as much again. By default
glibc gives much of that back, and the system then zeroes every page anew, for up to a third of a
step's time (docs/speed-log.md). Workers keep freed memory, and give it back between two runs, so
that the peak of one is not counted for the other. Without glibc nothing is done.
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
