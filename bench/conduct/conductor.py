"""From a plan to its end: run what is left, if anything is, and show what came of it."""

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType

from bench.cells.grid import Cell
from bench.conclude import leaderboard
from bench.conclude.looks import look_at, standings_of
from bench.conclude.remarks import say_answer
from bench.conclude.standings import Standings
from bench.conduct.confirmation import confirmation, leading_cell, say_tested, show_confirmation
from bench.conduct.finals import finals
from bench.conduct.finished import FinishedSession, FinishedWork
from bench.ledger.journal_file import FrozenError
from bench.ledger.paths import report_path, typed_name
from bench.plan.about import ABOUT_NOTE, CONFIRMATION_NOTE, about
from bench.plan.plan import Plan, Request, make_plan
from bench.plan.runs import runs_after
from bench.record.database import count_runs, store_address
from bench.record.words import Words
from bench.system import provenance
from bench.system.console import open_console
from bench.system.notes import noted_warnings
from gpt.errors import GptBenchError

if TYPE_CHECKING:
    from bench.conduct.session import Session, Work

RECORDED_WIDTH = 140
"""Characters in a line of a board in MLflow's notes."""

EXIT_INCOMPLETE = 5


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a command ended."""

    standings: Standings
    exit_code: int


def run_all(requests: Mapping[str, Request], console: Console) -> int:
    """Run a request under each budget, and print under which one the leader changes.

    Args:
        requests: by budget, in words.

    Returns the exit code: that of the first run that was not complete, else 0.

    Raises:
        GptBenchError: as `run_study`.
    """
    results: dict[str, Result] = {}
    for budget, request in requests.items():
        result = run_study(request, console)
        if result.exit_code > EXIT_INCOMPLETE:  # a signal
            return result.exit_code
        results[budget] = result
    if len(results) > 1:
        standings = {budget: result.standings for budget, result in results.items()}
        console.print(leaderboard.show_budgets(standings))
    return next((r.exit_code for r in results.values() if r.exit_code), 0)


def run_study(request: Request, console: Console) -> Result:
    """Run what is left of a requested study and print what came of it.

    Raises:
        GptBenchError: what was asked can't be done; nothing was trained.
    """
    plan = make_plan(request)
    if (finished := _conclude_finished(request, plan, console)) is not None:
        result, said = finished
        for say in said:
            say()
        return result
    from bench.conduct.session import start_session  # it takes seconds: torch and MLflow

    with start_session(request, plan) as session:
        session.foresee(request, plan)
        return Conductor(session, console, lambda say: say()).conclude(request, plan)


def is_finished(request: Request, plan: Plan) -> bool:
    """Whether nothing of a study is left to run, to record or to say anew."""
    with suppress(GptBenchError):
        return _conclude_finished(request, plan, open_console()) is not None
    return False


def _conclude_finished(
    request: Request, plan: Plan, console: Console
) -> tuple[Result, list[Callable[[], None]]] | None:
    """How a finished study ended, and what prints that; None where anything is left to do."""
    if request.fresh or not plan.journal.is_file():
        return None
    said: list[Callable[[], None]] = []
    with suppress(FrozenError):  # raised where something is left to do
        finished = FinishedSession(request, plan)
        return Conductor(finished, console, said.append).conclude(request, plan), said
    return None


class Conductor:
    """Takes a request's plans to their end, one after another.

    Args:
        then: calls what prints, now or later.
    """

    def __init__(
        self,
        session: "Session | FinishedSession",
        console: Console,
        then: Callable[[Callable[[], None]], None],
    ) -> None:
        self._session = session
        self._console = console
        self._then = then
        self._views: dict[str, str] = {}
        self._missing: list[str] = []
        self._idle = self._complete = True

    def conclude(self, request: Request, plan: Plan) -> Result:
        """Run what is left, look after look, and say what came of it."""
        asked = plan
        standings = self._race(request, plan)
        name = typed_name(plan.journal)
        if plan.study.search is not None and self._goes_on:
            last = finals(plan, standings)
            if last is not None:
                plan, standings = last, self._race(request, last)
        leader = leading_cell(plan, standings)
        if leader is not None and self._goes_on:
            self._confirm(plan, leader, standings, fresh=request.fresh)
        if self._goes_on:
            self._then(partial(self._report, asked))
        self._say(f"\nBrowse it: python -m bench.ui {shlex.quote(name)}", soft_wrap=True)
        for view, address in self._views.items():
            self._say(f"  {view:<12} {address}", soft_wrap=True)
        if report := self._session.report():
            self._say(report, soft_wrap=True)
        for why in self._missing:
            self._say(f"Not all is recorded: {why}.", soft_wrap=True)
        interruption = self._session.interruption
        if interruption.requested:
            self._say("Stopped. The same command goes on from here.")
            return Result(standings=standings, exit_code=interruption.exit_code)
        if self._idle and not self._missing:
            self._say("Nothing was left to do.")
        complete = self._complete and not self._missing
        return Result(standings=standings, exit_code=0 if complete else EXIT_INCOMPLETE)

    def _race(self, request: Request, plan: Plan) -> Standings:
        """Give each cell that may be the best further seeds, until the best is found."""
        interruption = self._session.interruption
        cells = plan.grid.cells
        seeds = {cell.key: plan.looks[0] for cell in cells}
        with self._session.work_on(plan, fresh=request.fresh) as work:
            if not plan.part:  # at once, so that a report of what was killed can be made
                work.ledger.note(ABOUT_NOTE, about(request, plan).to_note())
            for n_seeds in plan.looks:
                ran = work.run(cells, seeds, runs_after(plan, n_seeds, len(seeds)))
                if interruption.requested:
                    standings = standings_of(work.ledger, plan.study)
                else:
                    standings = look_at(work.ledger, plan.study, n_seeds)
                standings = replace(standings, params={c.key: c.params for c in cells})
                dropped = [*plan.grid.dropped, *work.ledger.dropped()]
                board = leaderboard.show(plan.title, standings, dropped)
                ends = standings.settled or standings.is_hopeless
                if ends or interruption.requested or n_seeds == plan.looks[-1]:
                    break
                seeds = dict.fromkeys(standings.race.left, plan.next_look(n_seeds))
                if ran:
                    self._say(board)
            left_out = dict.fromkeys(sorted(work.ledger.left_out()), "left out")
            words = Words(
                answer=say_answer(standings),
                names=standings.names,
                verdicts={**left_out, **standings.words},
                results=leaderboard.say_results(standings),
            )
            views = self._close(plan, work, _as_text(board), words)
            self._views = self._views or views
            changes = work.ledger.changes()
        self._complete = self._complete and not dropped
        self._say(board)  # when it is recorded, for this may fail
        if changes:
            self._say(changes)
        return standings

    def _confirm(self, plan: Plan, leader: Cell, standings: Standings, *, fresh: bool) -> None:
        """Measure the leader again, on fresh seeds and on the test part."""
        again = confirmation(plan, leader, standings)
        [cell] = again.grid.cells
        with self._session.work_on(again, fresh=fresh) as work:
            work.run([cell], {cell.key: again.looks[0]}, 0)
            found = work.ledger.entries()
            sentence = show_confirmation(plan, leader, standings.entries, found)
            names, results = {cell.key: cell.label}, {cell.key: say_tested(found)}
            words = Words(answer=sentence, names=names, results=results)
            self._close(again, work, sentence, words)
            work.ledger.note(CONFIRMATION_NOTE, sentence)
        self._say(sentence)

    def _report(self, plan: Plan) -> None:
        """Say where a study's report is; write it first, unless it is there and nothing ran."""
        path = report_path(plan.ledger_name)
        if not self._idle or not path.is_file():
            from bench.report.page import Report  # it draws, which takes seconds to import

            try:
                with noted_warnings():
                    Report.of(plan.ledger_name).write()
            except Exception as error:  # the study is whole without it
                self._console.print(f"\nNo report could be written: {error!r}", soft_wrap=True)
                return
            with self._session.work_on(plan, fresh=False) as work:
                self._views = work.recorder.attach_report(path)
                self._missing += work.recorder.missing
                if record := work.ledger.noted("record"):
                    work.ledger.note("record", {**record, "views": dict(self._views)})
        self._console.print(f"\nThe answer on a page: {path}", soft_wrap=True)

    def _close(
        self, plan: Plan, work: "Work | FinishedWork", board: str, words: Words
    ) -> dict[str, str]:
        """Record what came of a plan, and keep in its ledger that it is recorded.

        All is recorded again when the words have changed, or what ranks the cells.
        """
        interrupted = self._session.interruption.requested
        views = work.recorder.close(board, words, interrupted=interrupted)
        self._missing += work.recorder.missing
        if not self._missing and not interrupted:
            held = count_runs(store_address(), work.ledger.id)
            digest = provenance.digest_of(repr((plan.study.metric, words)))
            work.ledger.note("record", {"of": digest, "held": held, "views": dict(views)})
        self._idle = self._idle and work.idle
        entries = work.ledger.entries()
        self._complete = self._complete and all(entry.outcome.answers for entry in entries)
        return views

    @property
    def _goes_on(self) -> bool:
        """Whether there is anything to be done after a plan."""
        return not self._missing and not self._session.interruption.requested

    def _say(self, what: RenderableType, *, soft_wrap: bool = False) -> None:
        self._then(partial(self._console.print, what, soft_wrap=soft_wrap))


def _as_text(board: object) -> str:
    """As it is recorded: whole, however narrow the terminal is."""
    console = open_console(width=RECORDED_WIDTH, always=True)
    with console.capture() as captured:
        console.print(board)
    return captured.get()
