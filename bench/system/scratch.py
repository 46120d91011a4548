"""Temporary folders, and the removal of those that killed processes left behind.

A killed process can't clean up. So each folder holds a file that its process keeps locked, and
whoever makes a new folder first removes those whose lock is free: the system releases a lock when
its process ends, however that ends. Without such locks (Windows) abandoned folders stay.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "gpt-bench-"

MARK = ".gpt-bench-scratch"
"""The file that is locked; no folder without one is touched."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder among the system's temporary ones, removed at the end of the block."""
    remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name, _held(Path(name)):
        yield Path(name)


def remove_abandoned() -> None:
    """Remove the folders of processes that have ended."""
    if fcntl is None:
        return
    for mark in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{MARK}"):
        with suppress(OSError), mark.open("rb+") as file:  # OSError: it is held, or not ours
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(mark.parent, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep a folder's mark locked. The file gets its name only once it is locked."""
    if fcntl is None:
        yield
        return
    unseen = folder / f"{MARK}.new"
    with unseen.open("xb") as file:
        with suppress(OSError):  # a file system without locks: nobody else can lock it either
            fcntl.flock(file, fcntl.LOCK_EX)
        unseen.rename(folder / MARK)
        yield
