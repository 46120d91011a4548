"""From a plan to its end: run what is left, if anything is, and show what came of it."""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType

from bench.conclude import leaderboard
from bench.conclude.looks import look_at
from bench.conclude.standings import Standings
from bench.conduct.confirmation import confirmation, leading_cell, show_confirmation
from bench.conduct.finished import FinishedSession
from bench.conduct.plan import Command, Plan, make_plan
from bench.ledger.journal_file import FrozenError
from bench.ledger.ledger import Ledger
from bench.record.database import count_runs, store_address
from bench.system import identity
from bench.system.console import open_console

if TYPE_CHECKING:
    from bench.conduct.session import Session

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
    if plan.journal.is_file() and not command.fresh:
        said: list[Callable[[], None]] = []
        with suppress(FrozenError):  # raised where something is left to do
            result = _conclude(command, plan, FinishedSession(command, plan), console, said.append)
            for say in said:
                say()
            return result
    from bench.conduct.foresee import foresee_study
    from bench.conduct.session import start_session  # it takes seconds: torch and MLflow

    with start_session(command, plan) as session:
        foresee_study(command, plan, session)
        return _conclude(command, plan, session, console, lambda say: say())


def _conclude(
    command: Command,
    plan: Plan,
    session: "Session | FinishedSession",
    console: Console,
    then: Callable[[Callable[[], None]], None],
) -> Result:
    """Run what is left, look after look, and say what came of it.

    Args:
        then: calls what prints, now or later.
    """

    def say(what: RenderableType, *, soft_wrap: bool = False) -> None:
        then(partial(console.print, what, soft_wrap=soft_wrap))

    interruption = session.interruption
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
            left_out = dict.fromkeys(sorted(ledger.left_out()), "left out")
            verdicts = {**left_out, **standings.words}
            views = recorder.close(  # before it is printed, which may fail
                _as_text(board),
                verdicts=verdicts,
                names=standings.names,
                interrupted=interruption.requested,
            )
            missing += recorder.missing
            if not missing and not interruption.requested:
                _note_record(ledger, views, plan.study.metric, repr((verdicts, standings.names)))
        if standings != shown:  # an earlier command may have gone further than this look
            say(board)
        shown = standings
        if changes:
            say(changes)
        if missing or standings.settled or interruption.requested:
            break
    entries = list(standings.entries)
    leader = leading_cell(plan, standings)
    if leader is not None and not missing and not interruption.requested:
        again = confirmation(plan, leader)
        with session.run(again, fresh=command.fresh) as (ledger, recorder):
            sentence = show_confirmation(plan, leader, entries, ledger.entries())
            recorder.close(sentence, verdicts={}, names={}, interrupted=interruption.requested)
            entries += ledger.entries()
            missing += recorder.missing
            if not missing and not interruption.requested:
                _note_record(ledger, views, sentence)
        say(sentence)
    say("\nBrowse it: mlflow ui")
    for name, address in views.items():
        say(f"  {name:<12} {address}", soft_wrap=True)
    if report := session.report():
        say(report, soft_wrap=True)
    for why in missing:
        say(f"Not all is recorded: {why}.", soft_wrap=True)
    if interruption.requested:
        say("Stopped. The same command goes on from here.")
        return Result(standings=standings, exit_code=interruption.exit_code)
    if session.idle and not missing:
        say("Nothing was left to do.")
    answered = all(entry.outcome.answers for entry in entries)
    complete = answered and not dropped and not missing
    return Result(standings=standings, exit_code=0 if complete else EXIT_INCOMPLETE)


def _note_record(ledger: Ledger, views: Mapping[str, str], *said: str) -> None:
    """Keep in a ledger that all of it is recorded; of a frozen one, check that it was."""
    held = count_runs(store_address(), ledger.id)
    ledger.note("record", {"of": identity.digest_of(*said), "held": held, "views": dict(views)})


def _as_text(board: object) -> str:
    """As it is recorded: whole, however narrow the terminal is."""
    console = open_console(width=RECORDED_WIDTH, always=True)
    with console.capture() as captured:
        console.print(board)
    return captured.get()
