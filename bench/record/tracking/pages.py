"""What a person sees of a study in MLflow's UI: tags in words, saved views, and the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Run, RunTag
from mlflow.tracking import MlflowClient

from bench.record.database import TAG_LEDGER, TAG_ROLE
from bench.record.report_page import REPORT, TAG_REPORT, report_page
from bench.record.tracking import views
from bench.record.tracking.axes import align
from bench.record.tracking.charts import charts, span_of
from bench.system.redact import redacted

TAG_CELL_KEY = "gpt_bench.cell"

NOTE = "mlflow.note.content"
"""The tag that holds the description of a run or an experiment, in Markdown."""

MOST_READ = 40
"""Runs whose curves are read to find the range of their axis."""

MAX_FOUND = 50_000
"""Runs found by one search; MLflow returns no more."""


class Pages:
    """The part of a tracker that makes what is looked at; it writes no number."""

    experiment_id: str
    _client: MlflowClient
    _uri: str

    def set_tags(self, run_id: str, tags: Mapping[str, Any]) -> None:
        """Add tags to a run."""
        self._client.log_batch(run_id, tags=as_tags(tags))

    def tag_cell(self, ledger: str, cell: str, tags: Mapping[str, Any]) -> None:
        """Add tags to every run of a cell, from all launches.

        Args:
            cell: its key.
        """
        for run in self._search(is_tag(TAG_LEDGER, ledger), is_tag(TAG_CELL_KEY, cell)):
            self.set_tags(run.info.run_id, tags)

    def save_views(
        self,
        name: str,
        *,
        ledger: str,
        order_by: str,
        ascending: bool,
        columns: Mapping[str, int],
        curves: Sequence[str],
    ) -> None:
        """Save the views of a ledger's finished runs, see `bench.record.tracking.views`.

        Args:
            curves: metrics; the first that was recorded is drawn against what was spent.
        """
        filters = is_tag(TAG_LEDGER, ledger), is_tag(TAG_ROLE, "run")
        runs = self._search(*filters, "attributes.status = 'FINISHED'")
        recorded = {metric for run in runs for metric in run.data.metrics}
        curve = next((metric for metric in curves if metric in recorded), None)
        span = None if curve is None else span_of(self._values(curve, runs))
        tags = views.view_tags(
            name,
            ledger=ledger,
            runs=" AND ".join(filters),
            order_by=order_by,
            ascending=ascending,
            columns=columns,
            longest=max((len(str(run.info.run_name)) for run in runs), default=0),
            charts=charts(ranked_by=order_by, curve=curve, span=span),
        )
        for key, value in tags.items():
            self._client.set_experiment_tag(self.experiment_id, key, value)

    def align_curves(self, ledger: str, cell: str) -> None:
        """Let the curves of a cell's finished runs have the same x values.

        Args:
            cell: its key.
        """
        finished = "attributes.status = 'FINISHED'"
        runs = self._search(is_tag(TAG_LEDGER, ledger), is_tag(TAG_CELL_KEY, cell), finished)
        if len(runs) > 1:
            align(self._client, [run.info.run_id for run in runs])

    def attach_report(self, ledger: str, launch: str, folder: Path) -> None:
        """Make the report in a folder an artifact of a launch, whose description then begins with
        a link to it.

        Args:
            launch: the id of its run; "": the ledger's latest. Without one, nothing is done.
        """
        latest = None if launch else self._latest_launch(ledger)
        run_id = latest.info.run_id if latest else launch
        if not run_id:
            return
        self._client.log_artifacts(run_id, str(folder))
        note = self._client.get_run(run_id).data.tags.get(NOTE, "")
        link = f"[**Open the report**]({report_page(self.experiment_id, run_id)})"
        linked = note if note.startswith(link) else f"{link}\n\n{note}"
        self.set_tags(run_id, {NOTE: linked, TAG_REPORT: REPORT})

    def addresses(self, ledger: str, *, ask: bool = True) -> dict[str, str]:
        """Name of each view of a ledger -> its address in the UI.

        Args:
            ask: whether to ask the store for a report; one that is away takes long to say so.
        """
        latest = self._latest_launch(ledger) if ask else None
        reported = latest.info.run_id if latest and TAG_REPORT in latest.data.tags else None
        return views.addresses(self._uri, self.experiment_id, ledger, reported)

    def _latest_launch(self, ledger: str) -> Run | None:
        found = self._search(
            is_tag(TAG_LEDGER, ledger),
            is_tag(TAG_ROLE, "launch"),
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        return next(iter(found), None)

    def _values(self, metric: str, runs: Sequence[Run]) -> list[float]:
        """The values of a metric in some of the runs, spread over all of them."""
        some = runs[:: -(-len(runs) // MOST_READ)]
        histories = (self._client.get_metric_history(run.info.run_id, metric) for run in some)
        return [point.value for history in histories for point in history]

    def _search(self, *filters: str, max_results: int = MAX_FOUND, **options: Any) -> list[Run]:
        """The runs that pass all filters; options as for `MlflowClient.search_runs`."""
        found = self._client.search_runs(
            [self.experiment_id], " AND ".join(filters), max_results=max_results, **options
        )
        return list(found)


def as_tags(tags: Mapping[str, Any]) -> list[RunTag]:
    """Tags as MLflow takes them: without secrets, and no longer than a database allows."""
    return [RunTag(name, redacted(str(value))[:5000]) for name, value in tags.items()]


def is_tag(name: str, value: str) -> str:
    """A filter for the runs whose tag has a value, which holds no quotation mark."""
    return f"tags.`{name}` = '{value}'"
