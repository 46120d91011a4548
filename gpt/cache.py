"""Where does derived data live, and how is it written so that nobody ever sees half of it?

Everything in the cache can be made again from the corpus and the configs, so it is safe to delete.
A write goes to a temporary name in the same folder and is renamed when it is whole: a reader, a
second process doing the same work, a full disk or a kill leave the last good version in place.
There is no lock (two processes may both do the work, and one result stays) and no eviction.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from platformdirs import user_cache_path

from gpt.errors import MachineError

CACHE_VARIABLE = "GPT_BENCH_CACHE"


def default_cache() -> Path:
    """The user's cache folder, or the one that the environment names."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else user_cache_path("gpt-bench", appauthor=False)


def key_of(*parts: object) -> str:
    """A name for what these JSON-able parts determine: 32 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears as `path`, whole, when the block ends without an error.

    Raises `MachineError` where the file system refuses.
    """
    partial = _partial(path)
    with cache_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("xb") as file:
                yield file
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A new folder that appears as `folder`, whole, when the block ends without an error.

    If another process has made `folder` meanwhile, that one stays: the same name stands for the
    same content. Raises `MachineError` where the file system refuses.
    """
    partial = _partial(folder)
    with cache_errors(folder):
        partial.mkdir(parents=True)
        try:
            yield partial
            partial.replace(folder)
        except OSError:
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def cache_errors(path: Path) -> Iterator[None]:
    """Turn a file system's refusal to write `path` into a `MachineError`."""
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"the cache {path.parent} must be writable and have room but got: {error}\n"
            f"free some, or name another folder in {CACHE_VARIABLE}"
        ) from error


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex}")
