"""Can the tracking store be reached and written? Checked before anything is trained.

MLflow itself finds out only at the first write, after minutes of retries. It also creates its
database in place, table by table, and never repairs one that a full disk, a kill or a second
process left half made. So the database is created here, under a lock and another name, and then
renamed. MLflow stores absolute paths of files: after a folder was moved, they are corrected here.
"""

import os
import re
import sqlite3
import uuid
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote

import requests
from filelock import FileLock
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.engine import make_url

from bench.record.database import FILES
from bench.record.tracking.outages import first_line
from bench.system.redact import is_ambiguous, redacted
from gpt.errors import MachineError

ANSWER_SECONDS = 10.0
"""How long a server may take to say that it is there."""

_LOCATION = re.compile(rf"(?P<root>.*/{FILES})/(?P<rest>[^/]+)")

_COLUMNS = (("experiments", "artifact_location"), ("runs", "artifact_uri"))


def database_of(uri: str) -> Path | None:
    """The file of a SQLite store; None for any other."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(make_url(uri).database or "")


def reach(uri: str) -> None:
    """Create the database if it is missing, and raise at once if the store can't be written."""
    if is_ambiguous(uri):
        raise MachineError(
            f"the password in the tracking store's address {redacted(uri)} must have no @ or / of "
            "its own but has one\nin MLFLOW_TRACKING_URI write %40 for @ and %2F for /"
        )
    if (path := database_of(uri)) is not None:
        if not _is_there(path):
            _make(path, uri)
        with closing(sqlite3.connect(path)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
        if path.absolute().parent == Path.cwd():
            _follow(path.absolute())
    elif uri.startswith("http"):
        requests.head(uri, timeout=ANSWER_SECONDS)


def refusal(uri: str, error: Exception) -> MachineError:
    """The error for a store that can't be used, with advice on what to do."""
    if isinstance(error, MachineError):
        return error
    advice = "set MLFLOW_TRACKING_URI or start from another folder"
    path = database_of(uri)
    if path is not None and path.is_file():
        n_runs = _count_runs(path)
        if "database is locked" in str(error):
            advice = "another program holds it: wait for it, or end it; then run the same command"
        elif n_runs == 0:
            advice = f"it holds no run: remove {path}, which is made anew"
        elif n_runs is None:
            advice = f"set {path} aside under another name, or set MLFLOW_TRACKING_URI"
    why = f"the tracking store must be there and writable but {uri} is not ({first_line(error)})"
    return MachineError(redacted(f"{why}\n{advice}"))


def tidy(uri: str) -> None:
    """Remove the empty folder that MLflow makes when the address encodes the folder's name."""
    path, literal = database_of(uri), Path(uri.removeprefix("sqlite:///").partition("?")[0])
    if path is not None and path != literal:
        with suppress(OSError):
            os.removedirs(literal.parent)


def _is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _make(path: Path, uri: str) -> None:
    """Create a database; of several processes that need it, one creates it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f"{path.name}.lock")
    with FileLock(lock):
        if not _is_there(path):
            _make_as(path, f".{uuid.uuid4().hex}", uri)
        lock.unlink(missing_ok=True)  # only now: who has waited for it finds the database made


def _make_as(path: Path, ending: str, uri: str) -> None:
    address = uri.partition("?")[0] + ending
    try:
        store = SqlAlchemyStore(address, f"./{FILES}")  # type: ignore[no-untyped-call]
        store.engine.dispose()
        path.with_name(path.name + ending).replace(path)
    finally:
        for left in ("", "-journal", "-wal", "-shm"):
            path.with_name(path.name + ending + left).unlink(missing_ok=True)


def _count_runs(path: Path) -> int | None:
    """Runs in a database; None if it can't be read."""
    try:
        with closing(sqlite3.connect(path)) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if ("runs",) not in tables.fetchall():
                return 0
            return int(database.execute("SELECT COUNT(*) FROM runs").fetchone()[0])
    except sqlite3.Error:
        return None


def _follow(path: Path) -> None:
    """Correct the paths in a database that was moved or copied together with its files."""
    home = path.parent / FILES
    with closing(sqlite3.connect(path)) as database, suppress(sqlite3.OperationalError):
        places = database.execute("SELECT artifact_location FROM experiments").fetchall()
        for root in {root for (place,) in places if (root := _moved_root(place, home))}:
            new = home.as_uri() if root.startswith("file:") else str(home)
            for table, column in _COLUMNS:
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE substr({column}, 1, ?) = ?",
                    (new, len(root) + 1, len(root) + 1, f"{root}/"),
                )
        database.commit()


def _moved_root(place: str | None, home: Path) -> str | None:
    """The former folder of an experiment's files, if they were moved; else None."""
    if (found := _LOCATION.fullmatch(place or "")) is None:
        return None
    root, rest = found["root"], found["rest"]
    is_address = root.startswith("file://")
    folder = Path(unquote(root.removeprefix("file://")) if is_address else root)
    if not folder.is_absolute() or folder == home:
        return None
    if folder.is_dir() and ((not (home / unquote(rest)).is_dir()) or folder.samefile(home)):
        return None  # on purpose, or another name of the same folder
    return root
