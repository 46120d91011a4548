"""One start of a study, from its cells to its last run.

The parent prepares every text first, so that wrong data ends the command before any run exists;
then it hands out runs, one a free worker, and records what comes back. It alone writes to the
ledger and to the tracker.
"""

import shutil
import statistics
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.conduct.progress import Progress
from bench.ledger.ledger import Claim, Ledger
from bench.ledger.outcome import Outcome
from bench.metrics import Metric
from bench.record.recorder import Recorder
from bench.run.executor import Died, Event, Executor
from bench.run.messages import Finished, Folders, Prepare, Prepared, Started, Train
from bench.system.interruption import Interruption, Stopped
from gpt.config import RunConfig
from gpt.errors import DataError, MachineError
from gpt.training.loop import Point

POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Texts:
    """What is known of each text of a study before it trains."""

    ready: Mapping[str, Prepared]
    """By `text_key`."""

    infeasible: Mapping[str, str]
    """Text key -> why the text can't be had."""

    corpora: Mapping[str, str]
    """Corpus, by its name in the config -> SHA-256 of its raw bytes."""


def text_key(config: RunConfig) -> str:
    """Names the corpus and tokenizer of a run."""
    return repr((config.corpus, config.tokenizer.canonical()))


def prepare_texts(
    configs: Iterable[RunConfig],
    executor: Executor,
    folders: Folders,
    progress: Progress,
    interruption: Interruption,
) -> Texts:
    """Train each tokenizer once and encode each text once, in the workers.

    SentencePiece may end its process on odd text; there it takes a worker along, not the study.

    Raises:
        DataError, MachineError: a text can't be used by any cell.
        Stopped: a signal says stop; there is nothing yet to finish off.
    """
    waiting: dict[str, RunConfig] = {}
    for config in sorted(configs, key=lambda c: c.model.context_bytes or c.model.block_size):
        waiting[text_key(config)] = config  # the longest block is kept: it needs the longest text
    ready: dict[str, Prepared] = {}
    infeasible: dict[str, str] = {}
    corpora: dict[str, str] = {}
    with progress.preparing(len(waiting)) as advance:
        for key, config in waiting.items():
            executor.submit(key, Prepare(config=config, folders=folders))
        while waiting:
            if interruption.requested:
                raise Stopped(interruption.exit_code, "Stopped before anything was trained.")
            for key, event in executor.events(POLL_SECONDS):
                if isinstance(event, Prepared):
                    ready[key] = event
                    corpora[waiting[key].corpus.name] = event.corpus_digest
                elif isinstance(event, Died):
                    kind = waiting[key].tokenizer.kind
                    raise DataError(f"making the {kind} tokenizer failed: {event.reason}")
                elif isinstance(event, Finished):
                    if event.error is not None:
                        raise event.error
                    if event.outcome is Outcome.INFEASIBLE:
                        infeasible[key] = event.reason
                    elif event.outcome is Outcome.FAILED:
                        raise RuntimeError(event.reason)
                    del waiting[key]
                    advance()
    return Texts(ready=ready, infeasible=infeasible, corpora=corpora)


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


class Launch:
    """Hands out the runs of a ledger until none is left, or a signal says stop.

    Args:
        metric: what a search is told at each evaluation.
        texts: what the runs' texts came to.
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

    def run(self, interruption: Interruption) -> None:
        """Work until every run has been settled, or until interrupted.

        Raises:
            MachineError, OSError: the disk is full; the runs at work are interrupted.
        """
        with self._progress.running(self._ledger.n_left()):
            try:
                while not interruption.now:
                    if interruption.requested:
                        self._ask_all_to_stop()
                    else:
                        self._fill()
                    if not self._active:
                        break
                    for name, event in self._executor.events(POLL_SECONDS):
                        self._handle(self._active[name], event)
            finally:
                for run in list(self._active.values()):
                    # A full disk has perhaps ended this launch, and is not to hide behind what
                    # comes of it: what isn't settled here is at the next start.
                    with suppress(OSError, MachineError):
                        self._settle(run, Outcome.INTERRUPTED, "the launch was stopped")

    def _ask_all_to_stop(self) -> None:
        for name in self._active:
            self._executor.stop(name)

    def _fill(self) -> None:
        while self._executor.n_free and (claim := self._ledger.claim()):
            run = _Active(claim=claim, folder=self._folder / claim.name)
            self._active[claim.name] = run
            self._progress.begin(claim.name, claim.label, claim.config.train.seed)
            reason = self._why_not(claim.config)
            if reason is not None:
                self._settle(run, Outcome.INFEASIBLE, reason)
                continue
            text = self._texts.ready.get(text_key(claim.config))  # a search may meet another
            task = Train(config=claim.config, folders=self._folders, folder=run.folder, text=text)
            self._executor.submit(claim.name, task)

    def _why_not(self, config: RunConfig) -> str | None:
        if config.train.device not in ("auto", *self._executor.devices):
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
        run.runs_side_by_side.append(len(self._active))
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
        found = {}  # at most points, for the speed of a run is the median over them
        if run.points:
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
        facts = {**(run.started.facts if run.started else {}), **found}
        self._ledger.settle(run.claim, outcome, reason=reason, facts=facts, summary=summary)
        bits_per_byte = summary.get("val_bits_per_byte") if summary else None
        self._progress.end(run.claim.name, outcome, reason=reason, bits_per_byte=bits_per_byte)
        shutil.rmtree(run.folder, ignore_errors=True)
