"""Where does derived data live, and how is it written so that nobody ever sees half of it?

Everything in the cache can be made again from the corpus and the configs, so it is safe to delete.
A write goes to a temporary name in the same folder and is renamed when it is whole, so that a full
disk or a kill leaves the last good version in place; the next process that writes there removes
what a killed one left. An entry holds the SHA-256 of each of its files, and one that is damaged is
made again, with a warning. There is no lock: of two processes that do the same work, one's result
stays.
"""

import hashlib
import json
import logging
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import psutil
from platformdirs import user_cache_path

from gpt.errors import MachineError

CACHE_VARIABLE = "GPT_BENCH_CACHE"

DIGESTS_FILE = "sha256.json"
"""In every entry: the SHA-256 of each other file, by its name."""

log = logging.getLogger(__name__)


def default_cache() -> Path:
    """The user's cache folder, or the one that the environment names."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else user_cache_path("gpt-bench", appauthor=False)


def key_of(*parts: object) -> str:
    """A name for what these JSON-able parts determine: 32 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def entry(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder` with the files that `make` writes into the folder it is given.

    They are made on the first call, and again if one of them is damaged, which is checked once for
    each version of a file. If another process has made the entry meanwhile, that one stays.

    Raises:
        MachineError: the file system refuses.
    """
    damage = _damage(folder)
    if damage is None:
        return folder
    existed = folder.is_dir()
    if existed:
        log.warning("the cache entry %s is damaged (%s): it is made again", folder, damage)
    with cache_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent)
        with _partial(folder) as partial:
            partial.mkdir()
            make(partial)
            digests = {file.name: _sha256_of(file) for file in sorted(partial.iterdir())}
            (partial / DIGESTS_FILE).write_text(json.dumps(digests, indent=1), "utf-8")
            if existed:
                _replace_damaged(folder, partial)
            else:
                try:
                    partial.replace(folder)
                except OSError:
                    if not folder.is_dir():
                        raise
    return folder


def _replace_damaged(folder: Path, made: Path) -> None:
    """Replace the files one by one, so that no reader ever misses one; the whole ones stay."""
    for file in made.iterdir():
        with suppress(OSError):
            if _sha256_of(folder / file.name) == _sha256_of(file):
                continue  # perhaps made again by another process, and in use
        file.replace(folder / file.name)


def _damage(folder: Path) -> str | None:
    """Why an entry is not as it was written; None: it is."""
    try:
        digests = json.loads((folder / DIGESTS_FILE).read_bytes())
        wrong = [name for name, digest in digests.items() if _sha256_of(folder / name) != digest]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    if wrong or not digests:
        return f"other content in {', '.join(wrong) or DIGESTS_FILE}"
    return None


def _sha256_of(file: Path) -> str:
    status = file.stat()
    return _sha256(file, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256(file: Path, *_status: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A name beside `path` for a file, which is renamed to `path` when the block ends without an
    error, and otherwise removed: whoever looks at `path` finds a whole file."""
    with _partial(path) as partial:
        yield partial
        partial.replace(path)


@contextmanager
def cache_errors(path: Path) -> Iterator[None]:
    """Turn a file system's refusal to write `path` into a `MachineError`."""
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"the cache {path.parent} must be writable and have room but got: {error}\n"
            f"free some space, or name another folder in {CACHE_VARIABLE}"
        ) from error


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """A name beside `path` that nobody else has; whatever is there at the end is removed."""
    own = f".{path.name}.{_machine()}-{os.getpid()}-{uuid4().hex[:8]}.partial"
    try:
        yield path.with_name(own)
    finally:
        _remove(path.with_name(own))


def _remove_abandoned(folder: Path) -> None:
    """Remove what killed processes of this machine have left unfinished."""
    for left in folder.glob(f".*.{_machine()}-*-*"):
        process = left.name.rpartition(f".{_machine()}-")[2].partition("-")[0]
        if not psutil.pid_exists(int(process)):
            _remove(left)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):  # it was a folder
        path.unlink()


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]
