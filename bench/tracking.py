"""What is recorded, and how a person meets it in MLflow. The only module that knows MLflow.

Runs are written by explicit id, never through MLflow's notion of an active run, and metrics in
batches: one call a metric costs more than a training step, and MLflow's asynchronous logging
slowed training threefold. Left out: what to do when the store is away, see `bench.outbox`.
"""

import base64
import json
import logging
import math
import os
import re
import sqlite3
import time
import zlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the outbox tries again
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

import mlflow
import requests
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    Run,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from gpt.config import RunConfig
from gpt.errors import ConfigError, MachineError

OUTAGES = (MlflowException, OSError)
"""What comes of a store that is away, locked, full, or not of this version."""

Measured = tuple[str, float, int, int]
"""A metric's name, its value, when it was taken (milliseconds since 1970), and its step."""

MAX_BATCH = 1000
"""Metrics in one call; MLflow takes no more."""

MAX_FOUND = 50_000
"""Runs found by one search; MLflow finds no more."""

ANSWER_SECONDS = 10.0
"""How long a server may take to say that it is there."""

UI_ADDRESS = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves unless told otherwise."""

TAG_LEDGER = "gpt_bench.ledger"
TAG_ROLE = "gpt_bench.role"
TAG_ATTEMPT = "gpt_bench.attempt"
TAG_CELL = "cell"

CHART_SECTIONS = ("val", "train", "speed", "final")
"""Prefixes of metrics, in the order in which their charts are worth looking at."""


class Tracker:
    """The record of one study in an MLflow experiment.

    Args:
        study: names the experiment.
        description: shown at its top, in Markdown.

    Raises:
        MachineError: the store can't be written, or is not there.
    """

    def __init__(self, study: str, description: str) -> None:
        for chatty in ("alembic", "mlflow"):
            logging.getLogger(chatty).setLevel(logging.ERROR)
        self._uri = mlflow.get_tracking_uri()
        try:
            _probe(self._uri)
            self._client = MlflowClient(self._uri)
            self.experiment_id = self._experiment(study)
            self._client.set_experiment_tag(self.experiment_id, "mlflow.note.content", description)
        except Exception as error:
            refusal = (
                f"the tracking store must be there and writable but {self._uri} is not "
                f"({first_line(error)})\nset MLFLOW_TRACKING_URI or start from another folder"
            )
            raise MachineError(_without_passwords(refusal)) from error

    def _experiment(self, study: str) -> str:
        """The experiment's id; made if it is not there, restored if it was deleted."""
        found = self._client.get_experiment_by_name(study)
        if found is None:
            root = Path("mlruns").absolute() / study
            local = self._uri.startswith(("sqlite:", "file:"))
            return self._client.create_experiment(study, root.as_uri() if local else None)
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def start_launch(
        self, name: str, *, ledger: str, tags: Mapping[str, Any], at: int | None = None
    ) -> str:
        """The parent run of one start of the command.

        Args:
            at: when it began, in milliseconds since 1970, if not now.
        """
        run = self._create(name, {**tags, TAG_LEDGER: ledger, TAG_ROLE: "launch"}, at)
        return str(run.info.run_id)

    def log_text(self, run_id: str, name: str, text: str) -> None:
        """Keep a text as a file of a run."""
        self._client.log_text(run_id, text, name)

    def start_run(
        self,
        name: str,
        *,
        launch: str,
        ledger: str,
        params: Mapping[str, Any],
        tags: Mapping[str, Any],
        at: int | None = None,
    ) -> str:
        """The run of one cell and seed, begun now or then."""
        role = {"mlflow.parentRunId": launch, TAG_LEDGER: ledger, TAG_ROLE: "run"}
        run_id = str(self._create(name, {**tags, **role}, at).info.run_id)
        self._client.log_batch(
            run_id, params=[Param(name, str(value)) for name, value in params.items()]
        )
        return run_id

    def set_dataset(self, run_id: str, name: str, digest: str) -> None:
        """Say which text a run was trained on."""
        dataset = Dataset(
            name=name,
            digest=digest[:36],
            source_type="local",
            source=json.dumps({"name": name, "sha256": digest}),
        )
        tag = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(run_id, [DatasetInput(dataset, [tag])])

    def set_tags(self, run_id: str, tags: Mapping[str, Any]) -> None:
        """Add tags to a run."""
        self._client.log_batch(run_id, tags=_tags(tags))

    def log(self, run_id: str, metrics: Sequence[Measured]) -> None:
        """Send metrics, in as few calls as MLflow allows."""
        for start in range(0, len(metrics), MAX_BATCH):
            batch = [Metric(*metric) for metric in metrics[start : start + MAX_BATCH]]
            self._client.log_batch(run_id, metrics=batch)

    def log_metric(self, run_id: str, step: int, name: str, value: float) -> None:
        """Send one metric, a call each: what a plain loop pays, and `log` avoids."""
        self._client.log_metric(run_id, name, value, step=step)

    def finish(
        self,
        run_id: str,
        status: str,
        *,
        tags: Mapping[str, Any],
        metrics: Sequence[Measured] = (),
        folder: Path | None = None,
        at: int | None = None,
    ) -> None:
        """End a run, now or then: its last metrics, its files, its outcome.

        Args:
            status: MLflow's: `FINISHED`, `FAILED` or `KILLED`.
            folder: its content becomes the run's artifacts.
        """
        if folder is not None and folder.exists():
            self._client.log_artifacts(run_id, str(folder))
        self.log(run_id, metrics[MAX_BATCH:])
        last = [Metric(*metric) for metric in metrics[:MAX_BATCH]]
        self._client.log_batch(run_id, metrics=last, tags=_tags(tags))
        self._client.set_terminated(run_id, status, at)

    def close_stale(self, ledger: str, interrupted: Collection[str] = ()) -> None:
        """End the runs that killed launches of a ledger left open.

        Args:
            interrupted: attempts that count as such, though their record may have been closed
                otherwise just before the kill.
        """
        status = "!= 'KILLED'" if interrupted else "= 'RUNNING'"
        found = self._client.search_runs(
            [self.experiment_id],
            f"tags.`{TAG_LEDGER}` = '{ledger}' AND attributes.status {status}",
            max_results=MAX_FOUND,
        )
        for run in found:
            if run.info.status == "RUNNING" or run.data.tags.get(TAG_ATTEMPT) in interrupted:
                self.finish(run.info.run_id, "KILLED", tags={"outcome": "interrupted"})

    def tag_cell(self, ledger: str, cell: str, tags: Mapping[str, Any]) -> None:
        """Add tags to every run of a cell, whichever launch it was of."""
        runs = self._client.search_runs(
            [self.experiment_id],
            filter_string=f"tags.`{TAG_LEDGER}` = '{ledger}' AND tags.`{TAG_CELL}` = '{cell}'",
        )
        for run in runs:
            self.set_tags(run.info.run_id, tags)

    def save_views(
        self, name: str, *, ledger: str, order_by: str, ascending: bool, columns: Sequence[str]
    ) -> None:
        """Save two views of a ledger's finished runs.

        The first is a flat table, best run first; the second overlays the curves, one a cell, the
        mean of its seeds. The form of a saved view is MLflow's own and undocumented: where a
        version doesn't know it, the link opens the plain table.
        """
        role = f"tags.`{TAG_LEDGER}` = '{ledger}' AND tags.`{TAG_ROLE}` = 'run'"
        table = {
            "searchFilter": f"{role} AND attributes.status = 'FINISHED'",
            "orderByKey": f"metrics.`{order_by}`",
            "orderByAsc": ascending,
            "selectedColumns": list(columns),
        }
        curves = {
            **table,
            "groupBy": {
                "aggregateFunction": "average",
                "groupByKeys": [{"mode": "tag", "groupByData": TAG_CELL}],
            },
            "runsHiddenMode": "SHOW_ALL",
            "hideEmptyCharts": True,
            "isAccordionReordered": True,
            "compareRunCharts": [],
            "compareRunSections": [
                {"uuid": f"{key}-{section}", "name": section, "display": section != "final"}
                | {"isReordered": False, "deleted": False, "isGenerated": True}
                for key, section in enumerate(CHART_SECTIONS)
            ],
        }
        self._save_view(f"{name}: leaderboard", f"gpt-bench-{ledger}-table", table)
        self._save_view(f"{name}: curves", f"gpt-bench-{ledger}-curves", curves)

    def addresses(self, ledger: str) -> dict[str, str]:
        """Where the UI shows the views of a ledger, by their name."""
        server = _without_passwords(self._uri) if self._uri.startswith("http") else UI_ADDRESS
        view = (
            f"{server.rstrip('/')}/#/experiments/{self.experiment_id}/runs"
            f"?workflowType=machine_learning&viewStateShareKey=gpt-bench-{ledger}"
        )
        return {
            "leaderboard": f"{view}-table",
            "curves": f"{view}-curves&compareRunsMode=CHART",
        }

    def _save_view(self, name: str, key: str, state: Mapping[str, Any]) -> None:
        packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
        now = milliseconds()
        view = {"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
        self._client.set_experiment_tag(
            self.experiment_id, f"mlflow.sharedViewState.{key}", json.dumps(view)
        )

    def _create(self, name: str, tags: Mapping[str, Any], at: int | None) -> Run:
        texts = {k: str(v) for k, v in tags.items()}
        return self._client.create_run(self.experiment_id, at, texts, name)


def milliseconds() -> int:
    """Now, since 1970, as MLflow counts."""
    return int(time.time() * 1000)


def measured(step: int, metrics: Mapping[str, float | None]) -> list[Measured]:
    """Metrics taken now; what is None or not finite is left out.

    MLflow stores an infinity as 1.8e308, which ruins every chart.
    """
    now = milliseconds()
    return [
        (name, value, now, step)
        for name, value in metrics.items()
        if value is not None and math.isfinite(value)
    ]


def load_config(run_id: str) -> RunConfig:
    """The config of a recorded run.

    Raises:
        ConfigError: there is no such run, or it has no config.
    """
    try:
        return RunConfig.from_json(mlflow.artifacts.load_text(f"runs:/{run_id}/config.json"))
    except MlflowException as error:
        raise ConfigError(
            f"--from-run takes the id of a recorded run but got {run_id} ({first_line(error)})"
        ) from None


def _probe(uri: str) -> None:
    """Raise at once what MLflow would raise only after minutes of trying again."""
    if uri.startswith("sqlite:///"):
        path = uri.removeprefix("sqlite:///").partition("?")[0]
        with closing(sqlite3.connect(path)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
    elif uri.startswith("http"):
        requests.head(uri, timeout=ANSWER_SECONDS)


def _without_passwords(text: str) -> str:
    """Text without the credentials in its addresses: `//user:password@host` as `//host`."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def _tags(tags: Mapping[str, Any]) -> list[RunTag]:
    return [RunTag(name, str(value)[:5000]) for name, value in tags.items()]


def first_line(error: BaseException) -> str:
    """What an error says first, without the credentials in it."""
    return _without_passwords(str(error).strip().partition("\n")[0])
