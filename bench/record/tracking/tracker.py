"""The record of one study in an MLflow experiment: what can be written there.

Runs are written by explicit id, never through MLflow's notion of an active run, and metrics in
batches: one call a metric costs more than a training step, and MLflow's asynchronous logging
slowed training threefold. Filters hold ids and keys alone, for MLflow's can't hold every text.
Left out: what to do when the store is away, see `bench.record.outbox`.
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
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from bench.record.database import TAG_LEDGER, TAG_ROLE
from bench.record.tracking import views
from bench.record.tracking.metric_points import MetricPoint
from bench.record.tracking.store import FILES, reach, refusal, tidy
from bench.system.redact import redacted

MAX_BATCH = 1000
"""Metrics in one call; MLflow takes no more."""

MAX_FOUND = 50_000
"""Runs found by one search; MLflow finds no more."""

TAG_ATTEMPT = "gpt_bench.attempt"
TAG_CELL = "cell"
"""The cell's label, for people; `TAG_CELL_KEY` names it for filters."""

TAG_CELL_KEY = "gpt_bench.cell"

TAG_OWN = "gpt_bench.own"
"""Our name of a run, which it has before the store gives it one."""


class Tracker:
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
            self._client.set_experiment_tag(
                self.experiment_id, "mlflow.note.content", redacted(description)
            )
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
            except MlflowException:  # another process has made it; or we have, and were not told
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
        """The parent run of one start of the command.

        Args:
            at: when it began, in milliseconds since 1970, if not now.
            own: the caller's name for it, unique for ever.
            again: it may have been begun before, under that name; then it is found.
        """
        role = {TAG_LEDGER: ledger, TAG_ROLE: "launch"}
        return self._create(name, {**tags, **role}, at, own, again)

    def log_text(self, run_id: str, name: str, text: str) -> None:
        """Keep a text as a file of a run."""
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
        """The run of one cell and seed, begun now or then; as `start_launch`."""
        role = {"mlflow.parentRunId": launch, TAG_LEDGER: ledger, TAG_ROLE: "run"}
        run_id = self._create(name, {**tags, **role}, at, own, again)
        self._client.log_batch(
            run_id, params=[Param(name, redacted(str(value))) for name, value in params.items()]
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

    def log(self, run_id: str, metrics: Sequence[MetricPoint]) -> None:
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
        metrics: Sequence[MetricPoint] = (),
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

    def attempts(self, ledger: str) -> dict[str, str]:
        """What is recorded of a ledger, deleted runs among it: attempt -> name of its run.

        Raises:
            MachineError: the store doesn't say.
        """
        try:
            found = self._client.search_runs(
                [self.experiment_id],
                f"tags.`{TAG_LEDGER}` = '{ledger}' AND tags.`{TAG_ROLE}` = 'run'",
                run_view_type=ViewType.ALL,
                max_results=MAX_FOUND,
            )
        except Exception as error:
            raise refusal(self._uri, error) from error
        return {run.data.tags.get(TAG_ATTEMPT, ""): str(run.info.run_name) for run in found}

    def tag_cell(self, ledger: str, cell: str, tags: Mapping[str, Any]) -> None:
        """Add tags to every run of a cell, whichever launch it was of.

        Args:
            cell: its key.
        """
        runs = self._client.search_runs(
            [self.experiment_id],
            filter_string=f"tags.`{TAG_LEDGER}` = '{ledger}' AND tags.`{TAG_CELL_KEY}` = '{cell}'",
        )
        for run in runs:
            self.set_tags(run.info.run_id, tags)

    def save_views(
        self, name: str, *, ledger: str, order_by: str, ascending: bool, columns: Sequence[str]
    ) -> None:
        """Save the views of a ledger's finished runs, see `bench.record.tracking.views`."""
        tags = views.view_tags(
            name,
            ledger=ledger,
            runs=f"tags.`{TAG_LEDGER}` = '{ledger}' AND tags.`{TAG_ROLE}` = 'run'",
            group_by=TAG_CELL,
            order_by=order_by,
            ascending=ascending,
            columns=columns,
        )
        for key, value in tags.items():
            self._client.set_experiment_tag(self.experiment_id, key, value)

    def addresses(self, ledger: str) -> dict[str, str]:
        """Where the UI shows the views of a ledger, by their name."""
        return views.addresses(self._uri, self.experiment_id, ledger)

    def find(self, own: str) -> str | None:
        """The run that was begun under a caller's name."""
        return next(iter(self._all_of(own)), None)

    def keep_one(self, run_id: str, own: str) -> None:
        """Delete the runs that were begun under a name besides this one.

        A server that was stopped may perform, when it goes on, what was long taken for lost.
        """
        for other in self._all_of(own):
            if other != run_id:
                self._client.delete_run(other)

    def answers(self) -> bool:
        """Whether the store is there and would take a message for this experiment."""
        try:
            return bool(
                self._client.get_experiment(self.experiment_id).lifecycle_stage == "active"
            )
        except Exception:
            return False

    def _all_of(self, own: str) -> list[str]:
        found = self._client.search_runs([self.experiment_id], f"tags.`{TAG_OWN}` = '{own}'")
        return [str(run.info.run_id) for run in found]

    def _create(
        self, name: str, tags: Mapping[str, Any], at: int | None, own: str, again: bool
    ) -> str:
        if again and (found := self.find(own)):
            return found
        texts = {tag.key: tag.value for tag in _tags({**tags, TAG_OWN: own} if own else tags)}
        short = redacted(name)[:250]  # a server's database refuses more
        run = self._client.create_run(self.experiment_id, at, texts, short)
        return str(run.info.run_id)


def _tags(tags: Mapping[str, Any]) -> list[RunTag]:
    return [RunTag(name, redacted(str(value))[:5000]) for name, value in tags.items()]
