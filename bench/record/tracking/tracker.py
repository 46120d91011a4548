"""Writes the record of one study to an MLflow experiment.

Runs are written by explicit id, never through MLflow's notion of an active run, and metrics in
batches: one call for each metric costs more than a training step, and MLflow's asynchronous
logging slowed training threefold. Search filters contain only ids and keys, because MLflow's
filter syntax can't hold every text. Outages of the store are handled in `bench.record.outbox`.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from bench.record.database import FILES, TAG_ATTEMPT, TAG_LEDGER, TAG_ROLE
from bench.record.tracking.metric_points import MetricPoint
from bench.record.tracking.pages import NOTE, Pages, as_tags, is_tag
from bench.record.tracking.store import reach, refusal, tidy
from bench.system.redact import redacted

MAX_BATCH = 1000
"""Metrics in one call; MLflow accepts no more."""

TAG_CELL = "cell"
"""The tag for the cell's label, for people; `TAG_CELL_KEY` is that for filters."""

TAG_OWN = "gpt_bench.own"
"""The tag for our own name of a run, which it has before the store gives it an id."""


class Tracker(Pages):
    """The record of one study in an MLflow experiment.

    Args:
        study: names the experiment.
        description: shown at its top, in Markdown.

    Raises:
        MachineError: the store is not there, or can't be written (`record.tracking.store`).
    """

    def __init__(self, study: str, description: str) -> None:
        self._uri = mlflow.get_tracking_uri()
        try:
            reach(self._uri)
            self._client = MlflowClient(self._uri)
            self.experiment_id = self._experiment(study)
            self._client.set_experiment_tag(self.experiment_id, NOTE, redacted(description))
        except Exception as error:
            raise refusal(self._uri, error) from error
        finally:
            tidy(self._uri)

    def _experiment(self, study: str) -> str:
        """The experiment's id; made if it is not there, restored if it was deleted."""
        found = self._client.get_experiment_by_name(study)
        if found is None:
            root = Path(FILES).absolute() / study
            local = self._uri.startswith(("sqlite:", "file:"))
            try:
                return self._client.create_experiment(study, root.as_uri() if local else None)
            except MlflowException:  # made by another process, or by a call whose answer was lost
                found = self._client.get_experiment_by_name(study)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def start_launch(
        self,
        name: str,
        *,
        ledger: str,
        tags: Mapping[str, Any],
        at: int | None = None,
        own: str = "",
        again: bool = False,
    ) -> str:
        """Create the parent run of a launch, which is one start of a command; returns its id.

        Args:
            at: when it began, in milliseconds since 1970; None: now.
            own: the caller's own name for it, globally unique.
            again: whether the run may exist already; then it is looked up by its own name.
        """
        role = {TAG_LEDGER: ledger, TAG_ROLE: "launch"}
        return self._create(name, {**tags, **role}, at, own, again)

    def log_text(self, run_id: str, name: str, text: str) -> None:
        """Store a text as a file of a run."""
        self._client.log_text(run_id, redacted(text), name)

    def start_run(
        self,
        name: str,
        *,
        launch: str,
        ledger: str,
        params: Mapping[str, Any],
        tags: Mapping[str, Any],
        at: int | None = None,
        own: str = "",
        again: bool = False,
    ) -> str:
        """Create the run of one cell and seed; arguments as for `start_launch`."""
        role = {"mlflow.parentRunId": launch, TAG_LEDGER: ledger, TAG_ROLE: "run"}
        run_id = self._create(name, {**tags, **role}, at, own, again)
        self._client.log_batch(
            run_id, params=[Param(name, redacted(str(value))) for name, value in params.items()]
        )
        return run_id

    def set_dataset(self, run_id: str, name: str, digest: str) -> None:
        """Record which text a run was trained on."""
        dataset = Dataset(
            name=name,
            digest=digest[:36],
            source_type="local",
            source=json.dumps({"name": name, "sha256": digest}),
        )
        tag = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(run_id, [DatasetInput(dataset, [tag])])

    def log(self, run_id: str, metrics: Sequence[MetricPoint]) -> None:
        """Send metrics, in as few calls as MLflow allows."""
        for start in range(0, len(metrics), MAX_BATCH):
            batch = [Metric(*metric) for metric in metrics[start : start + MAX_BATCH]]
            self._client.log_batch(run_id, metrics=batch)

    def log_metric(self, run_id: str, step: int, name: str, value: float) -> None:
        """Send one metric in a call of its own, as a plain loop does; `log` sends batches."""
        self._client.log_metric(run_id, name, value, step=step)

    def finish(
        self,
        run_id: str,
        status: str,
        *,
        tags: Mapping[str, Any],
        metrics: Sequence[MetricPoint] = (),
        folder: Path | None = None,
        at: int | None = None,
    ) -> None:
        """End a run with its last metrics, its files and its outcome.

        Args:
            status: MLflow's: `FINISHED`, `FAILED` or `KILLED`.
            folder: its files become the run's artifacts.
        """
        if folder is not None and folder.exists():
            self._client.log_artifacts(run_id, str(folder))
        self.log(run_id, metrics[MAX_BATCH:])
        last = [Metric(*metric) for metric in metrics[:MAX_BATCH]]
        self._client.log_batch(run_id, metrics=last, tags=as_tags(tags))
        self._client.set_terminated(run_id, status, at)

    def close_stale(self, ledger: str, interrupted: Collection[str] = ()) -> None:
        """Close the runs of a ledger that killed launches left open.

        Args:
            interrupted: attempts that the ledger calls interrupted; their runs are closed as such
                even if they were closed otherwise just before the kill.
        """
        status = "!= 'KILLED'" if interrupted else "= 'RUNNING'"
        for run in self._search(is_tag(TAG_LEDGER, ledger), f"attributes.status {status}"):
            if run.info.status == "RUNNING" or run.data.tags.get(TAG_ATTEMPT) in interrupted:
                self.finish(run.info.run_id, "KILLED", tags={"outcome": "interrupted"})

    def attempts(self, ledger: str) -> dict[str, str]:
        """The recorded runs of a ledger, including deleted ones: attempt -> name of its run.

        Raises:
            MachineError: the store does not answer.
        """
        try:
            found = self._search(
                is_tag(TAG_LEDGER, ledger), is_tag(TAG_ROLE, "run"), run_view_type=ViewType.ALL
            )
        except Exception as error:
            raise refusal(self._uri, error) from error
        return {run.data.tags.get(TAG_ATTEMPT, ""): str(run.info.run_name) for run in found}

    def find(self, own: str) -> str | None:
        """The id of the run with this own name, or None."""
        return next(iter(self._all_of(own)), None)

    def keep_one(self, run_id: str, own: str) -> None:
        """Delete all other runs with the same own name.

        A server that was suspended may, when it resumes, perform a call that was taken for lost.
        """
        for other in self._all_of(own):
            if other != run_id:
                self._client.delete_run(other)

    def answers(self) -> bool:
        """Whether the store answers and the experiment is active."""
        try:
            return bool(
                self._client.get_experiment(self.experiment_id).lifecycle_stage == "active"
            )
        except Exception:
            return False

    def _all_of(self, own: str) -> list[str]:
        return [str(run.info.run_id) for run in self._search(is_tag(TAG_OWN, own))]

    def _create(
        self, name: str, tags: Mapping[str, Any], at: int | None, own: str, again: bool
    ) -> str:
        if again and (found := self.find(own)):
            return found
        texts = {tag.key: tag.value for tag in as_tags({**tags, TAG_OWN: own} if own else tags)}
        short = redacted(name)[:250]  # a server's database refuses more
        run = self._client.create_run(self.experiment_id, at, texts, short)
        return str(run.info.run_id)
