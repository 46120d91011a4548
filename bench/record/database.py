"""Does MLflow's database still hold what a ledger had recorded? Asked in SQL, without MLflow.

Importing MLflow takes a second, and a finished study is shown in two. The answer is "don't know"
for any other store than a SQLite file, and for a database of another form.
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
    """Where MLflow records what is done in this folder, unless it is told otherwise in Python."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def count_runs(address: str, ledger: str) -> int | None:
    """How many runs of a ledger a store holds; None if that takes MLflow to find out."""
    scheme, _, path = address.partition(":///")
    if scheme != "sqlite" or not Path(path).is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as db:
            return int(db.execute(_COUNT, (ledger,)).fetchone()[0])
    except sqlite3.Error:
        return None
