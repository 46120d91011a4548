"""A folder for what is soon recorded or thrown away, and an end to those that a kill has left.

A process that is killed can't tidy up. So each folder holds a file that its process keeps locked,
and whoever makes a folder removes those whose lock nobody holds: a lock ends with its process,
whatever ended that. Where the system has no such locks (Windows) what is left stays.
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
    """Remove the folders of processes that are no more."""
    if fcntl is None:
        return
    for mark in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{MARK}"):
        with suppress(OSError), mark.open("rb+") as file:  # OSError: it is held, or not ours
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(mark.parent, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep a folder's mark locked. It appears as it is locked: nobody finds it before."""
    if fcntl is None:
        yield
        return
    unseen = folder / f"{MARK}.new"
    with unseen.open("xb") as file:
        with suppress(OSError):  # a file system without locks: nor can anybody take it
            fcntl.flock(file, fcntl.LOCK_EX)
        unseen.rename(folder / MARK)
        yield
