"""From a plan to its end: make ready, launch, show what came of it."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from bench import identity, leaderboard
from bench.beside import beside
from bench.confirm import confirmation, leading_cell, show_confirmation
from bench.console import open_console
from bench.cores import cpu_count
from bench.executor import Executor, LocalExecutor, refuse_absent_device
from bench.interrupt import Interruption
from bench.launch import Launch, Texts, prepare_texts
from bench.ledger import Ledger
from bench.looks import look_at
from bench.metrics import RELATIVE
from bench.outbox import HURRIED_SECONDS, PATIENCE_SECONDS, Outbox
from bench.plan import Command, Plan, make_plan
from bench.progress import Progress
from bench.recorder import Recorder
from bench.standings import Standings
from bench.store import STORE, ledger_path
from bench.tracking import Tracker
from bench.work import Place
from gpt.cache import default_cache
from gpt.config import RunConfig
from gpt.device import available_devices
from gpt.errors import MachineError
from gpt.scratch import scratch_folder

RECORDED_WIDTH = 140
"""Characters in a line of a board in MLflow's notes."""

EXIT_INCOMPLETE = 5


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a command ended."""

    standings: Standings
    exit_code: int


def run_all(commands: Mapping[str, Command], console: Console) -> int:
    """Run a command under each budget, and print under which one the leader changes.

    Args:
        commands: by budget, in words.

    Returns the exit code: that of the first run that was not complete, else 0.

    Raises:
        GptBenchError: as `run_study`.
    """
    results: dict[str, Result] = {}
    for budget, command in commands.items():
        result = run_study(command, console)
        if result.exit_code > EXIT_INCOMPLETE:  # a signal
            return result.exit_code
        results[budget] = result
    if len(results) > 1:
        standings = {budget: result.standings for budget, result in results.items()}
        console.print(leaderboard.show_budgets(standings))
    return next((r.exit_code for r in results.values() if r.exit_code), 0)


def run_study(command: Command, console: Console) -> Result:
    """Run what is left of a command's study and print what came of it.

    Raises:
        GptBenchError: what was asked can't be done; nothing was trained.
    """
    plan = make_plan(command)
    configs = [cell.config for cell in plan.grid.cells]
    progress = Progress(open_console(stderr=True))
    place = Place(cache=default_cache(), corpora_dir=command.corpora_dir)
    with (
        closing(_start_executor(command, plan, configs)) as executor,
        Interruption() as interruption,
        scratch_folder() as folder,
    ):
        texts = prepare_texts(configs, executor, place, progress, interruption)
        session = _Session(
            executor=executor,
            progress=progress,
            place=place,
            texts=texts,
            interruption=interruption,
            folder=folder,
        )
        missing: list[str] = []
        shown = None
        for seeds in plan.looks:
            plan = dataclasses.replace(plan, seeds=seeds)
            fresh = command.fresh and seeds == plan.looks[0]  # a further look adds to the first
            with session.run(plan, fresh=fresh) as (ledger, recorder):
                standings = look_at(ledger, plan.study.metric)
                dropped = [*plan.grid.dropped, *ledger.dropped()]
                board = leaderboard.show(plan.title, standings, dropped)
                changes = ledger.changes()
                views = recorder.close(  # before it is printed, which may fail
                    _as_text(board),
                    verdicts=standings.words,
                    interrupted=interruption.requested,
                )
            if standings != shown:  # an earlier command may have gone further than this look
                console.print(board)
            shown = standings
            if changes:
                console.print(changes)
            missing += recorder.missing
            if missing or standings.settled or interruption.requested:
                break
        entries = list(standings.entries)
        leader = leading_cell(plan, standings)
        if leader is not None and not missing and not interruption.requested:
            again = confirmation(plan, leader)
            with session.run(again, fresh=command.fresh) as (ledger, recorder):
                sentence = show_confirmation(plan, leader, entries, ledger.entries())
                recorder.close(sentence, verdicts={}, interrupted=interruption.requested)
                entries += ledger.entries()
            console.print(sentence)
            missing += recorder.missing
    console.print("\nBrowse it: mlflow ui")
    for name, address in views.items():
        console.print(f"  {name:<12} {address}", soft_wrap=True)
    for why in missing:
        text = f"Not all is recorded: {why}."
        console.print(text, soft_wrap=True)
    if interruption.requested:
        console.print("Stopped. The same command goes on from here.")
        return Result(standings=standings, exit_code=interruption.exit_code)
    answered = all(entry.outcome.answers for entry in entries)
    complete = answered and not dropped and not missing
    return Result(standings=standings, exit_code=0 if complete else EXIT_INCOMPLETE)


@dataclass(frozen=True, kw_only=True)
class _Session:
    """What all plans of one command share."""

    executor: Executor
    progress: Progress
    place: Place
    texts: Texts
    interruption: Interruption
    folder: Path

    @contextmanager
    def run(self, plan: Plan, *, fresh: bool) -> Iterator[tuple[Ledger, Recorder]]:
        """Open a plan's ledger and record, run what is left of it, and hand both over."""
        with (
            Ledger.open(
                ledger_path(plan.ledger_name),
                plan.study,
                seeds=plan.seeds,
                overrides=plan.overrides,
                identity=identity.of_runs(self.texts.corpora) | plan.space,
                fresh=fresh,
            ) as ledger,
            Recorder(
                self._outbox(plan),
                plan.title,
                plan.study,
                ledger=ledger,
                environment=identity.environment(),
            ) as recorder,
        ):
            self._restore(recorder, ledger)
            ledger.enqueue(plan.grid.cells)
            Launch(
                ledger=ledger,
                executor=self.executor,
                recorder=recorder,
                progress=self.progress,
                metric=plan.study.metric,
                texts=self.texts,
                place=self.place,
                folder=self.folder,
            ).run(self.interruption)
            yield ledger, recorder

    def _outbox(self, plan: Plan) -> Outbox:
        """Open a plan's record; raises `SystemExit` if a signal says stop meanwhile."""
        tracker = beside(lambda: Tracker(plan.name, plan.description), self.interruption)
        return Outbox(tracker, STORE / "unsent" / plan.ledger_name, patience=self._patience)

    def _restore(self, recorder: Recorder, ledger: Ledger) -> None:
        """Where MLflow's record is gone, or is another's by now, make it anew and say so."""
        if not (entries := ledger.entries()):
            return
        is_empty = beside(recorder.is_empty, self.interruption)
        if is_empty:
            recorder.restore(entries)
            click.echo(
                f"{len(entries)} runs of the ledger were not in MLflow's record: they are "
                "recorded again, without their curves and files",
                err=True,
            )

    def _patience(self) -> float:
        """How many seconds a store that says nothing is waited for."""
        if self.interruption.now:
            return 0.0
        return HURRIED_SECONDS if self.interruption.requested else PATIENCE_SECONDS


def _start_executor(command: Command, plan: Plan, configs: Sequence[RunConfig]) -> Executor:
    """Raises `MachineError` if no cell's device is there, or no cluster where one was named."""
    # Runs side by side slow each other: one at a time where time is what is asked.
    n_workers = command.workers or (1 if plan.study.metric in RELATIVE else None)
    if command.executor == "ray":
        return _start_ray(command.address, configs, n_workers or plan.n_runs)
    refuse_absent_device(configs, available_devices())
    n_workers = n_workers or _default_workers(plan, configs)
    return LocalExecutor(n_workers, n_threads=max(1, cpu_count() // n_workers))


def _start_ray(address: str | None, configs: Sequence[RunConfig], n_workers: int) -> Executor:
    if address is None:  # read as Ray is imported, on any system: listen on this machine alone
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        from bench.ray_executor import RayExecutor
    except ModuleNotFoundError as error:
        install = "pip install -e '.[ray]'"
        raise MachineError(f"--executor ray needs Ray but it is absent: {install}") from error
    return RayExecutor(address, configs, n_workers)


def _default_workers(plan: Plan, configs: Sequence[RunConfig]) -> int:
    """One run a core on the CPU, where two threads are worth less than two runs; one on a GPU."""
    best = available_devices()[0]
    devices = {best if c.train.device == "auto" else c.train.device for c in configs}
    return min(cpu_count(), plan.n_runs) if devices == {"cpu"} else 1


def _as_text(board: object) -> str:
    """As it is recorded: whole, however narrow the terminal is."""
    console = open_console(width=RECORDED_WIDTH, always=True)
    with console.capture() as captured:
        console.print(board)
    return captured.get()
