"""What a command needs to run what is left: workers, texts made ready, a way to the record.

Everything heavy is imported here; a finished study is shown without it (`bench.conduct.finished`).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench.cells.grid import Cell
from bench.conduct.progress import Progress
from bench.conduct.scheduler import Scheduler
from bench.conduct.texts import Texts, prepare_texts
from bench.ledger.ledger import Ledger
from bench.ledger.outcome import Outcome
from bench.plan.foresee import foresee_study
from bench.plan.lacking import say_lacking
from bench.plan.plan import Plan, Request
from bench.plan.unequal import say_unequal
from bench.plan.workers import at_once, side_by_side
from bench.record.outbox import HURRIED_SECONDS, PATIENCE_SECONDS, Outbox
from bench.record.recorder import Recorder
from bench.record.tracking import Tracker
from bench.run.executor import Executor, LocalExecutor, refuse_absent_device
from bench.run.messages import Folders
from bench.system import provenance
from bench.system.console import open_console
from bench.system.interruptible import interruptibly
from bench.system.interruption import Interruption
from bench.system.scratch import scratch_folder
from gpt.cache import default_cache
from gpt.config import RunConfig
from gpt.device import available_devices
from gpt.errors import MachineError


@dataclass(kw_only=True)
class Work:
    """An open study: its ledger, its record, and the way to run more of it."""

    ledger: Ledger
    recorder: Recorder
    scheduler: Scheduler
    interruption: Interruption
    idle: bool = True
    """Whether nothing was left to run so far."""

    def run(self, cells: Sequence[Cell], seeds: Mapping[str, int], n_later: int) -> bool:
        """Run what is missing of a grid's cells up to so many seeds, or all of a search.

        Args:
            seeds: cell, by its key -> how many it needs.
            n_later: about how many runs come after these.

        Returns whether anything was missing.
        """
        self.ledger.enqueue(cells, seeds)
        missing = self.ledger.n_left() > 0
        self.idle = self.idle and not missing
        self.scheduler.run(self.interruption, n_later)
        return missing


@dataclass(kw_only=True)
class Session:
    """What all plans of one command share."""

    executor: Executor
    progress: Progress
    folders: Folders
    texts: Texts
    interruption: Interruption
    folder: Path

    _held: Mapping[str, str] = field(default_factory=dict)
    """What MLflow held of the ledger when it was opened: attempt -> name of its run."""

    def foresee(self, request: Request, plan: Plan) -> None:
        """Let the progress know what the runs will take, as far as that is known."""
        foresight = foresee_study(
            request,
            plan,
            executor=self.executor,
            folders=self.folders,
            ready=self.texts.ready,
            stopped=lambda: self.interruption.requested,
        )
        if foresight is not None:
            self.progress.foresee(foresight.predict, foresight.mean_seconds, foresight.n_workers)

    @contextmanager
    def work_on(self, plan: Plan, *, fresh: bool) -> Iterator[Work]:
        """Open a plan's ledger and record."""
        with (
            Ledger.open(
                plan.journal,
                plan.study,
                overrides=plan.overrides,
                identity=provenance.of_runs(self.texts.corpora) | plan.space,
                fresh=fresh,
            ) as ledger,
            Recorder(
                self._outbox(plan, ledger),
                plan.title,
                plan.study,
                launch_name=plan.launch_name,
                ledger=ledger,
                environment=provenance.environment(),
            ) as recorder,
        ):
            self._restore(recorder, ledger)
            scheduler = Scheduler(
                ledger=ledger,
                executor=self.executor,
                recorder=recorder,
                progress=self.progress,
                metric=plan.study.metric,
                texts=self.texts,
                folders=self.folders,
                folder=self.folder,
            )
            yield Work(
                ledger=ledger,
                recorder=recorder,
                scheduler=scheduler,
                interruption=self.interruption,
            )

    def report(self) -> str:
        """What the runs were forecast to take beside what they took, in a sentence or ""."""
        return self.progress.report()

    def _restore(self, recorder: Recorder, ledger: Ledger) -> None:
        """Where MLflow's record of a run is gone, make it anew and say so."""
        if recorder.any_kept:  # an earlier launch's messages, which may be on their way there
            return
        ended = [entry for entry in ledger.entries() if entry.outcome is not Outcome.INTERRUPTED]
        known = {*self._held, *recorder.given_up}
        if lost := [entry for entry in ended if entry.attempt not in known]:
            recorder.restore(lost)
            click.echo(
                f"{len(lost)} runs of the ledger were not in MLflow's record: they are "
                "recorded again, without their curves and files",
                err=True,
            )

    def _outbox(self, plan: Plan, ledger: Ledger) -> Outbox:
        """Open a plan's record.

        Raises:
            MachineError: it holds runs that the ledger must have known.
            Stopped: a signal says so meanwhile.
        """
        tracker = interruptibly(lambda: Tracker(plan.name, plan.description), self.interruption)
        self._held = interruptibly(lambda: tracker.attempts(ledger.id), self.interruption)
        if unknown := sorted(self._held.keys() - ledger.attempts()):
            raise MachineError(
                f"a ledger must know all runs that MLflow holds of it but {plan.journal} lacks "
                f"{len(unknown)} ({self._held[unknown[0]]} first): its last lines were removed\n"
                "bring back a copy of it, or let --fresh begin anew; the runs in MLflow stay"
            )
        return Outbox(tracker, plan.unsent, patience=self._patience)

    def _patience(self) -> float:
        """How many seconds a store that says nothing is waited for."""
        if self.interruption.now:
            return 0.0
        return HURRIED_SECONDS if self.interruption.requested else PATIENCE_SECONDS


@contextmanager
def start_session(request: Request, plan: Plan) -> Iterator[Session]:
    """Start workers and have them make a text of each corpus ready.

    Raises:
        GptBenchError: what was asked can't be done; nothing was trained.
    """
    configs = [cell.config for cell in plan.grid.cells]
    progress = Progress(open_console(stderr=True))
    folders = Folders(cache=default_cache(), corpora_dir=request.corpora_dir)
    with (
        closing(_start_executor(request, plan, configs)) as executor,
        Interruption() as interruption,
        scratch_folder() as folder,
    ):
        for sentence in say_lacking(request, plan):
            click.echo(sentence, err=True)
        texts = prepare_texts(configs, executor, folders, progress, interruption)

        def warn() -> None:
            if not texts.waiting and not texts.making:
                sizes = {key: text.size for key, text in texts.ready.items() if text.size}
                if said := say_unequal(plan.grid.cells, sizes):
                    progress.say(said)

        texts.when_made.append(warn)
        warn()
        yield Session(
            executor=executor,
            progress=progress,
            folders=folders,
            texts=texts,
            interruption=interruption,
            folder=folder,
        )


def _start_executor(request: Request, plan: Plan, configs: Sequence[RunConfig]) -> Executor:
    """Raises `MachineError` if no cell's device is there, or no cluster where one was named."""
    if request.executor == "ray":
        return _start_ray(request.address, configs, at_once(request, plan) or plan.n_runs)
    refuse_absent_device(configs, available_devices())
    return LocalExecutor(*side_by_side(request, plan))


def _start_ray(address: str | None, configs: Sequence[RunConfig], n_workers: int) -> Executor:
    if address is None:  # read as Ray is imported, on any system: listen on this machine alone
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        from bench.run.ray_executor import RayExecutor
    except ModuleNotFoundError as error:
        install = "pip install -e '.[ray]'"
        raise MachineError(f"--executor ray needs Ray but it is absent: {install}") from error
    return RayExecutor(address, configs, n_workers)
