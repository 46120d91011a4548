"""What is recorded of a launch, and under which names? (The outbox and tracker only send it.)"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pandas as pd

from bench.ledger.entries import Entry
from bench.ledger.ledger import Claim, Ledger
from bench.ledger.outcome import Outcome
from bench.record import shown
from bench.record.metric_names import final_metrics, final_name, point_metrics
from bench.record.outbox import Outbox
from bench.record.report_page import REPORT
from bench.record.tracking import (
    AXES,
    TAG_ATTEMPT,
    TAG_CELL,
    TAG_CELL_KEY,
    Tracker,
)
from bench.record.words import Words
from bench.run.messages import Started
from bench.spec import Study
from bench.system import provenance
from gpt.config import RunConfig
from gpt.training.loop import Point

STATUS = {
    Outcome.COMPLETE: "FINISHED",
    Outcome.PRUNED: "FINISHED",
    Outcome.DIVERGED: "FAILED",
    Outcome.UNSOUND: "FAILED",
    Outcome.INFEASIBLE: "FAILED",
    Outcome.OUT_OF_MEMORY: "FAILED",
    Outcome.FAILED: "FAILED",
    Outcome.INTERRUPTED: "KILLED",
}
"""MLflow's word for each outcome; ours is in the tag `outcome`."""


class _OpenRun(NamedTuple):
    """A child run that is not finished."""

    run_id: str
    flops_per_step: float | None
    """None: it was not begun by a worker, and has no points."""


class Recorder:
    """The record of one launch: a parent run, and a child run for each cell and seed.

    A launch with nothing left to do makes no run.

    Args:
        name: the study as it was asked for, for people.
        study: says which metric ranks the runs.
        launch_name: of the parent run, short, for MLflow cuts it; "": `name`.
        ledger: its id identifies the runs of all its launches; runs that a killed launch left
            open are closed.
        environment: machine and libraries, kept with every run.
    """

    def __init__(
        self,
        outbox: Outbox,
        name: str,
        study: Study,
        *,
        launch_name: str = "",
        ledger: Ledger,
        environment: Mapping[str, Any],
    ) -> None:
        self._outbox = outbox
        self._name = name
        self._launch_name = launch_name or name
        self._study = study
        self._ledger = ledger.id
        self._environment = environment
        self._open: dict[str, _OpenRun] = {}
        self._launch: str | None = None
        self._ended: set[str] = set()
        """Cells of which runs ended, by their keys."""

        for earlier in ledger.replaced:
            outbox.put(Tracker.close_stale, earlier)
        outbox.put(Tracker.close_stale, ledger.id, sorted(ledger.interrupted()))

    def start(self, claim: Claim, started: Started | None) -> None:
        """Open the child run: its params, tags and dataset; before the first, the parent run."""
        config = started.config if started else claim.config
        facts = started.facts if started else {}
        tags = _cell_tags(claim.label, claim.config, claim.name)
        run_id = self._begin(config, facts, tags)
        self._open[claim.name] = _OpenRun(run_id, facts.get("flops_per_step"))

    @property
    def any_kept(self) -> bool:
        """Whether an earlier launch left unsent messages."""
        return self._outbox.any_kept

    @property
    def given_up(self) -> set[str]:
        """The attempts whose record was refused for good: they would be refused again."""
        return self._outbox.given_up(self._ledger)

    def restore(self, entries: Sequence[Entry]) -> None:
        """Record again runs that only the ledger still has: everything but curves and files."""
        for entry in entries:
            tags = _cell_tags(entry.label, entry.config, entry.attempt)
            run_id = self._begin(
                entry.config, entry.facts, {**tags, "restored": "from the ledger"}
            )
            self._end(run_id, entry.outcome, entry.reason, entry.summary, {}, None)

    def _begin(self, config: RunConfig, facts: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Open a child run; before the first, the parent run."""
        if self._launch is None:
            self._launch = self._outbox.begin(
                Tracker.start_launch,
                self._launch_name,
                ledger=self._ledger,
                tags={"study": self._name, **shown.environment_tags(self._environment)},
            )
            if changes := provenance.uncommitted_changes():
                self._outbox.put(Tracker.log_text, self._launch, "uncommitted.diff", changes)
        params = {name: value for name, value in config.flat().items() if value is not None}
        if "vocab_size" in facts:
            params["vocab_size"] = facts["vocab_size"]
        run_id = self._outbox.begin(
            Tracker.start_run,
            f"{tags[TAG_CELL]} · {config.train.seed}",
            launch=self._launch,
            ledger=self._ledger,
            params=params,
            tags={**tags, "run_key": config.key, **facts},
        )
        if "corpus_digest" in facts:
            digest = facts["corpus_digest"]
            self._outbox.put(Tracker.set_dataset, run_id, facts["corpus"], digest)
        return run_id

    def _end(
        self,
        run_id: str,
        outcome: Outcome,
        reason: str,
        summary: Mapping[str, float] | None,
        tags: Mapping[str, Any],
        folder: Path | None,
    ) -> None:
        if summary:
            # one value at one step: MLflow draws bars
            self._outbox.log(run_id, 0, final_metrics(summary))
            tags = {**tags, "cost": shown.say_cost(summary)}
        ours = {"outcome": outcome.value, **({"reason": reason} if reason else {})}
        self._outbox.finish(run_id, STATUS[outcome], tags={**tags, **ours}, folder=folder)

    def log(self, claim: Claim, point: Point) -> None:
        """Collect the metrics of a point for the next batch."""
        run = self._open[claim.name]
        metrics = point_metrics(point, run.flops_per_step)
        if point.watched is not None:
            metrics |= {mean: metrics[spent] for spent, mean in AXES.items()}
        self._outbox.log(run.run_id, point.step, metrics)

    def finish(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        reason: str,
        points: Sequence[Point],
        summary: Mapping[str, float] | None,
        folder: Path,
        facts: Mapping[str, Any],
    ) -> None:
        """Close the child run with its final metrics, files, outcome and facts.

        Args:
            facts: those that were not known at its start; recorded as tags.
        """
        if claim.name not in self._open:
            self.start(claim, None)
        run = self._open.pop(claim.name)
        self._ended.add(claim.config.cell_key)
        tags = dict(facts)
        if folder.exists():
            try:
                self._write_files(folder, points, run.flops_per_step)
            except OSError as error:  # a full disk: the run's numbers are still recorded
                tags["files_missing"] = str(error)
        if (sample := folder / "sample.txt").exists():
            tags["mlflow.note.content"] = shown.quoted(sample.read_text("utf-8"))
        self._end(run.run_id, outcome, reason, summary, tags, folder)

    def _write_files(
        self, folder: Path, points: Sequence[Point], flops_per_step: float | None
    ) -> None:
        _write_json(folder / "environment.json", self._environment)
        if points:
            rows = [{"step": p.step, **point_metrics(p, flops_per_step)} for p in points]
            pd.DataFrame(rows).to_csv(folder / "curve.csv", index=False)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and self._launch is not None:
            self._outbox.finish(self._launch, "FAILED", tags={"reason": repr(error)})
            self._outbox.flush()
        self._outbox.close()

    def close(self, leaderboard: str, words: Words, *, interrupted: bool) -> dict[str, str]:
        """Close the parent run, with answer and leaderboard as its note; returns name of view ->
        address."""
        for cell, tags in shown.cell_tags(words).items():
            self._outbox.put(Tracker.tag_cell, self._ledger, cell, tags)
        for cell in sorted(self._ended):
            self._outbox.put(Tracker.align_curves, self._ledger, cell)
        if self._launch is not None:
            note = shown.note(words.answer, leaderboard)
            status = "KILLED" if interrupted else "FINISHED"
            said = {"mlflow.note.content": note, "result": words.answer}
            self._outbox.finish(self._launch, status, tags=said)
        self._outbox.put(
            Tracker.save_views,
            self._name,
            ledger=self._ledger,
            order_by=final_name(self._study.metric),
            ascending=self._study.direction == "minimize",
            columns=shown.LEADERBOARD_COLUMNS,
            curves=shown.CURVES,
        )
        return self._sent()

    def attach_report(self, path: Path) -> dict[str, str]:
        """Make an HTML file the artifact `report.html` of the ledger's latest launch, which may be
        an earlier one; returns name of view -> address.

        The launch's description then begins with a link to it. Call it after `close`, which writes
        that description. What can't be sent now is kept and sent later.

        Raises:
            OSError: the file can't be read or copied.
        """
        folder = self._outbox.new_folder()
        shutil.copyfile(path, folder / REPORT)
        self._outbox.put(
            Tracker.attach_report, self._ledger, launch=self._launch or "", folder=folder
        )
        return self._sent()

    def _sent(self) -> dict[str, str]:
        """Wait until all is sent; returns the addresses of the views."""
        self._outbox.flush()
        return self._outbox.tracker.addresses(self._ledger, ask=not self._outbox.unsent)

    @property
    def missing(self) -> list[str]:
        """Why the record is incomplete, one line for each reason; empty if it is complete."""
        return [why for why in (self._outbox.unsent, self._outbox.refused) if why]


def _cell_tags(label: str, config: RunConfig, attempt: str) -> dict[str, str]:
    """Tags that identify the cell; `config` is the cell's own, not the settled one."""
    return {TAG_CELL: label, TAG_CELL_KEY: config.cell_key, TAG_ATTEMPT: attempt}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
