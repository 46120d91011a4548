"""What does MLflow's database hold of a ledger? Asked in SQL, without MLflow.

Importing MLflow takes a second, and a finished study should be shown within two; and MLflow writes
to every database that it opens. For a store that is not a SQLite file, and for a database with
another schema, the answer is None: unknown.
"""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

TAG_LEDGER = "gpt_bench.ledger"
TAG_ROLE = "gpt_bench.role"
TAG_ATTEMPT = "gpt_bench.attempt"

FILES = "mlruns"
"""The folder beside the database that holds the files of all runs, MLflow's default."""

_COUNT = (
    "SELECT COUNT(DISTINCT a.run_uuid) FROM tags a JOIN tags b ON a.run_uuid = b.run_uuid "
    f"WHERE a.key = '{TAG_LEDGER}' AND a.value = ? AND b.key = '{TAG_ROLE}' AND b.value = 'run'"
)


def store_address(folder: Path = Path()) -> str:
    """The address of the tracking store that MLflow uses in a folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _own_store(folder)


def stores_of(folder: Path) -> list[str]:
    """The addresses of the stores that may hold what was run in a folder; no missing files.

    The folder's own comes first, which answers at once.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI")
    local = _own_store(folder)
    found = [local, named] if named else [local]
    return [store for store in found if (path := database_file(store)) is None or path.is_file()]


def _own_store(folder: Path) -> str:
    return f"sqlite:///{(folder / 'mlflow.db').absolute()}"


def database_file(address: str) -> Path | None:
    """The file of a SQLite store; None for any other store."""
    scheme, _, path = address.partition(":///")
    return Path(path.partition("?")[0]) if scheme == "sqlite" else None


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A run in a tracking store."""

    run_id: str
    files: str
    """Where its files are: a path or an address."""

    params: Mapping[str, str]

    restored: bool
    """Whether it was recorded again, from the ledger: without its curve and files."""


Series = Sequence[tuple[str, int, float]]
"""The values of a run's metrics, in the order of time: name, step, value."""

_RUNS = f"""
    SELECT r.run_uuid, r.artifact_uri, attempt.value, restored.value FROM runs r
    JOIN tags ledger ON ledger.run_uuid = r.run_uuid AND ledger.key = '{TAG_LEDGER}'
    JOIN tags role ON role.run_uuid = r.run_uuid AND role.key = '{TAG_ROLE}'
    JOIN tags attempt ON attempt.run_uuid = r.run_uuid AND attempt.key = '{TAG_ATTEMPT}'
    LEFT JOIN tags restored ON restored.run_uuid = r.run_uuid AND restored.key = 'restored'
    WHERE ledger.value = ? AND role.value = 'run' AND r.lifecycle_stage = 'active'
    ORDER BY r.start_time
"""


def runs_of(address: str, ledger: str) -> dict[str, RecordedRun] | None:
    """The recorded runs of a ledger, by attempt; None if only MLflow could tell."""
    if (rows := ask(address, _RUNS, ledger)) is None:
        return None
    of_ledger = f"SELECT run_uuid FROM tags WHERE key = '{TAG_LEDGER}' AND value = ?"
    query = f"SELECT run_uuid, key, value FROM params WHERE run_uuid IN ({of_ledger})"
    params: dict[str, dict[str, str]] = {}
    for run_id, name, value in ask(address, query, ledger) or ():
        params.setdefault(run_id, {})[name] = value
    return {
        attempt: RecordedRun(
            run_id=run_id, files=files, params=params.get(run_id, {}), restored=bool(restored)
        )
        for run_id, files, attempt, restored in rows
    }


def files_of(address: str, run_id: str) -> str | None:
    """Where a run's files are; "" if there is no such run, None if only MLflow could tell."""
    rows = ask(address, "SELECT artifact_uri FROM runs WHERE run_uuid = ?", run_id)
    return None if rows is None else next((str(files) for (files,) in rows), "")


def series_of(address: str, run_id: str) -> Series | None:
    """All values of a run's metrics; None if only MLflow could tell."""
    query = (
        "SELECT key, step, value FROM metrics WHERE run_uuid = ? AND NOT is_nan ORDER BY timestamp"
    )
    return ask(address, query, run_id)


def is_local(files: str) -> bool:
    """Whether a run's files lie on this machine, by their path or address."""
    scheme, colon, _ = files.partition(":")
    return not colon or scheme == "file" or len(scheme) == 1  # a drive of Windows


def local_file(address: str, files: str, name: str) -> Path | None:
    """A file of a run, if it lies on this machine.

    A folder that was moved or copied has its files beside its database, whatever path that names.

    Args:
        address: of the store that names the folder `files`.
    """
    if not is_local(files):
        return None
    place = url2pathname(urlsplit(files).path) if files.startswith("file:") else files
    below = place.replace("\\", "/").rpartition(f"/{FILES}/")[2]
    database = database_file(address)
    beside = [database.parent / FILES / below] if database else []
    found = [path for folder in (*beside, Path(place)) if (path := folder / name).is_file()]
    return found[0].absolute() if found else None


def count_runs(address: str, ledger: str) -> int | None:
    """How many runs of a ledger a store holds; None if only MLflow could tell."""
    rows = ask(address, _COUNT, ledger)
    return None if rows is None else int(rows[0][0])


def ask(address: str, query: str, value: str) -> list[Any] | None:
    """The rows of a query, without changing the database."""
    path = database_file(address)
    if path is None or not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return db.execute(query, (value,)).fetchall()
    except sqlite3.Error:
        return None
