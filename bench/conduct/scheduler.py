"""One start of a study, from its cells to its last run.

The parent gives each free worker a run, or a text to make for runs to come, and records what comes
back. It alone writes to the ledger and to the tracker.
"""

import shutil
import statistics
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.conduct.progress import Progress
from bench.conduct.texts import POLL_SECONDS, Texts
from bench.ledger.ledger import Claim, Ledger
from bench.ledger.outcome import Outcome
from bench.metrics import Metric
from bench.record.recorder import Recorder
from bench.run.cost import text_key
from bench.run.executor import Died, Event, Executor, is_here
from bench.run.messages import Finished, Folders, Started, Train
from bench.system.interruption import Interruption
from gpt.config import RunConfig
from gpt.errors import MachineError
from gpt.training.loop import Point


@dataclass(kw_only=True)
class _Active:
    """A run that a worker is at."""

    claim: Claim
    folder: Path
    started: Started | None = None
    points: list[Point] = field(default_factory=list)
    runs_side_by_side: list[int] = field(default_factory=list)
    """At each point, itself counted."""

    n_evaluations: int = 0
    pruned: bool = False
    begun: float = 0.0
    """When a worker was given it, on a monotonic clock."""


class Scheduler:
    """Hands out the runs of a ledger until none is left, or a signal says stop.

    Args:
        metric: what a search is told at each evaluation.
        texts: what the runs' texts came to, and those that are still to be made.
        folder: where runs keep their files until they are recorded.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        executor: Executor,
        recorder: Recorder,
        progress: Progress,
        metric: Metric,
        texts: Texts,
        folders: Folders,
        folder: Path,
    ) -> None:
        self._ledger = ledger
        self._executor = executor
        self._recorder = recorder
        self._progress = progress
        self._metric = metric
        self._texts = texts
        self._folders = folders
        self._folder = folder
        self._active: dict[str, _Active] = {}
        self._held: _Active | None = None
        """The one of them that still waits for its text."""

    def run(self, interruption: Interruption, n_later: int = 0) -> None:
        """Work until every run has been settled, or until interrupted.

        Args:
            n_later: about how many runs come after these, for whoever watches.

        Raises:
            MachineError, OSError: the disk is full; the runs at work are interrupted.
            DataError: a text can't be used by any cell; the same.
        """
        with self._progress.running(self._ledger.n_left(), n_later):
            try:
                while not interruption.now:
                    if interruption.requested:
                        self._ask_all_to_stop()
                    else:
                        self._fill()
                    texts_first = self._texts.making and self._ledger.n_left()
                    if not self._active and (interruption.requested or not texts_first):
                        break
                    for name, event in self._executor.events(POLL_SECONDS):
                        if name in self._texts.making:
                            self._texts.handle(name, event)
                        else:
                            self._handle(self._active[name], event)
            finally:
                for run in list(self._active.values()):
                    # A full disk has perhaps ended this launch, and is not to hide behind what
                    # comes of it: what isn't settled here is at the next start.
                    with suppress(OSError, MachineError):
                        self._settle(run, Outcome.INTERRUPTED, "the launch was stopped")

    def _ask_all_to_stop(self) -> None:
        if self._held is not None:
            self._settle(self._held, Outcome.INTERRUPTED, "stopped before its first step")
        for name in self._active:
            self._executor.stop(name)

    def _fill(self) -> None:
        """Give each free worker a text to make or a run to train, until nothing is left to begin.

        All workers but one make texts first; the other one trains as soon as it can.
        """
        while self._executor.n_free:
            texts_first = len(self._texts.making) < max(1, self._executor.n_workers - 1)
            begun = texts_first and self._begin_text()
            if not (begun or self._begin_run() or self._begin_text()):
                break

    def _begin_text(self) -> bool:
        held = self._held.claim.config if self._held else None
        return self._texts.begin(self._executor, self._folders, first=held)

    def _begin_run(self) -> bool:
        """Begin the next run; False: there is none, or it must wait for its text."""
        run = self._held or self._claim()
        if run is None:
            return False
        config, name = run.claim.config, run.claim.name
        reason = self._why_not(config)
        if reason is not None:
            self._begin_row(run)
            self._settle(run, Outcome.INFEASIBLE, reason)
        elif self._texts.awaited(config):
            self._held = run
            return False
        else:
            self._held = None
            self._begin_row(run)
            text = self._texts.ready.get(text_key(config))  # a search may meet another
            task = Train(config=config, folders=self._folders, folder=run.folder, text=text)
            self._executor.submit(name, task)
        return True

    def _begin_row(self, run: _Active) -> None:
        claim, run.begun = run.claim, time.monotonic()
        self._progress.begin(claim.name, claim.label, claim.config.train.seed, claim.config)

    def _claim(self) -> _Active | None:
        claim = self._ledger.claim()
        if claim is None:
            return None
        run = _Active(claim=claim, folder=self._folder / claim.name)
        self._active[claim.name] = run
        return run

    def _why_not(self, config: RunConfig) -> str | None:
        if not is_here(config, self._executor.devices):
            return f"no such device: {config.train.device}"
        return self._texts.infeasible.get(text_key(config))

    def _handle(self, run: _Active, event: Event) -> None:
        if isinstance(event, Started):
            run.started = event
            self._recorder.start(run.claim, event)
        elif isinstance(event, Point):
            self._on_point(run, event)
        elif isinstance(event, Died):
            self._settle(run, Outcome.FAILED, event.reason)
            if self._ledger.retry(run.claim):
                self._progress.extend(1)
        elif isinstance(event, Finished):
            outcome, reason = event.outcome, event.reason
            if outcome is Outcome.INTERRUPTED and run.pruned:
                outcome, reason = Outcome.PRUNED, f"pruned at step {run.points[-1].step}"
            self._settle(run, outcome, reason, event.summary)
            if outcome is Outcome.INTERRUPTED and event.error is not None:
                raise event.error  # the disk is full: no other run could go on either

    def _on_point(self, run: _Active, point: Point) -> None:
        run.points.append(point)
        run.runs_side_by_side.append(len(self._active) - (self._held is not None))
        self._recorder.log(run.claim, point)
        self._progress.update(run.claim.name, point, run.started.n_steps if run.started else None)
        watched = point.watched
        if watched is None or run.pruned:
            return
        run.n_evaluations += 1
        value = {
            "val_bits_per_byte": watched.bits_per_byte,
            "val_loss": watched.loss,
            "tokens_per_second": point.tokens_per_second,
            "seconds_to_target": watched.loss,  # on the way there, the nearer is better
        }[self._metric]
        if self._ledger.should_prune(run.claim, run.n_evaluations, value):
            run.pruned = True
            self._executor.stop(run.claim.name)

    def _settle(
        self,
        run: _Active,
        outcome: Outcome,
        reason: str,
        summary: Mapping[str, float] | None = None,
    ) -> None:
        """Write down a run's end in the tracker, then in the ledger, and forget its files.

        In this order, because what the ledger calls done is never recorded again. A run that is
        recorded and then not settled is run again, and its first record closed as interrupted.
        """
        del self._active[run.claim.name]
        if run is self._held:
            self._held = None
        found = {}
        if run.points:  # at most of them, for the speed of a run is the median over them
            found["runs_side_by_side"] = statistics.median_high(run.runs_side_by_side)
        self._recorder.finish(
            run.claim,
            outcome,
            reason=reason,
            points=run.points,
            summary=summary,
            folder=run.folder,
            facts=found,
        )
        seconds = round(time.monotonic() - run.begun, 3)  # for forecasts: what it took in all
        facts = {**(run.started.facts if run.started else {}), **found, "run_seconds": seconds}
        self._ledger.settle(run.claim, outcome, reason=reason, facts=facts, summary=summary)
        bits_per_byte = summary.get("val_bits_per_byte") if summary else None
        self._progress.end(run.claim.name, outcome, reason=reason, bits_per_byte=bits_per_byte)
        shutil.rmtree(run.folder, ignore_errors=True)
