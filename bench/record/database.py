"""Does MLflow's database still hold what a ledger had recorded? Asked in SQL, without MLflow.

Importing MLflow takes a second, and a finished study should be shown within two. For a store that
is not a SQLite file, and for a database with another schema, the answer is None: unknown.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

TAG_LEDGER = "gpt_bench.ledger"
TAG_ROLE = "gpt_bench.role"

_COUNT = (
    "SELECT COUNT(DISTINCT a.run_uuid) FROM tags a JOIN tags b ON a.run_uuid = b.run_uuid "
    f"WHERE a.key = '{TAG_LEDGER}' AND a.value = ? AND b.key = '{TAG_ROLE}' AND b.value = 'run'"
)


def store_address() -> str:
    """The address of the tracking store that MLflow uses in this folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def count_runs(address: str, ledger: str) -> int | None:
    """How many runs of a ledger a store holds; None if only MLflow could tell."""
    scheme, _, path = address.partition(":///")
    if scheme != "sqlite" or not Path(path).is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as db:
            return int(db.execute(_COUNT, (ledger,)).fetchone()[0])
    except sqlite3.Error:
        return None
