"""The readings of `bench.record.reading` from stores that only MLflow can read, such as a server.

Files that lie elsewhere are fetched into a folder that goes when the process ends.
"""

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities import Run, ViewType
from mlflow.tracking import MlflowClient

from bench.record.database import (
    TAG_ATTEMPT,
    TAG_LEDGER,
    TAG_ROLE,
    RecordedRun,
    Series,
    database_file,
)
from bench.record.tracking.outages import is_outage
from bench.record.tracking.pages import MAX_FOUND
from bench.record.tracking.store import reach, refusal
from bench.system.redact import redacted
from gpt.errors import MachineError


def runs_of(address: str, ledger: str) -> dict[str, RecordedRun]:
    """The recorded runs of a ledger, by attempt.

    Raises:
        MachineError: the store does not answer, as for all functions here.
    """
    with _asking(address) as client:
        experiments = client.search_experiments(ViewType.ALL, max_results=MAX_FOUND)
        runs = client.search_runs(
            [experiment.experiment_id for experiment in experiments],
            f"tags.`{TAG_LEDGER}` = '{ledger}' AND tags.`{TAG_ROLE}` = 'run'",
            max_results=MAX_FOUND,
            order_by=["attributes.start_time ASC"],
        )
        return {run.data.tags.get(TAG_ATTEMPT, ""): _recorded(run) for run in runs}


def files_of(address: str, run_id: str) -> str:
    """Where a run's files are; "" if there is no such run."""
    run = _run(address, run_id)
    return "" if run is None else str(run.info.artifact_uri)


def series_of(address: str, run_id: str) -> Series:
    """All values of a run's metrics."""
    if (run := _run(address, run_id)) is None:
        return []
    with _asking(address) as client:
        return [
            (name, metric.step, metric.value)
            for name in run.data.metrics
            for metric in client.get_metric_history(run_id, name)
        ]


@functools.cache
def fetch(address: str, run_id: str, name: str) -> Path | None:
    """A copy of a run's file; None if it has no such file."""
    folder, _, _ = name.rpartition("/")
    with _asking(address) as client:
        if name not in {file.path for file in client.list_artifacts(run_id, folder or None)}:
            return None
        place = Path(_fetched().name) / run_id
        place.mkdir(exist_ok=True)
        return Path(client.download_artifacts(run_id, name, str(place)))


@functools.cache
def _fetched() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="gpt-bench-files-")


def _run(address: str, run_id: str) -> Run | None:
    with _asking(address) as client:
        try:
            return client.get_run(run_id)
        except Exception as error:
            if is_outage(error):
                raise
            return None


def _recorded(run: Run) -> RecordedRun:
    return RecordedRun(
        run_id=str(run.info.run_id),
        files=str(run.info.artifact_uri),
        params=run.data.params,
        restored="restored" in run.data.tags,
    )


@contextmanager
def _asking(address: str) -> Iterator[MlflowClient]:
    """A client of a store; no SQLite file, for MLflow would write to it."""
    if (path := database_file(address)) is not None:
        raise MachineError(redacted(f"MLflow's database must be readable but {path} is not"))
    try:
        reach(address)
        yield MlflowClient(address)
    except Exception as error:
        raise refusal(address, error) from error
