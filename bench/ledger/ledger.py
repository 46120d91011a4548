"""Which runs are done, and which are left? An Optuna study in a journal file.

A launch is one start of a study. Only its parent process writes here, under a lock, so no run is
given out twice. Runs that a killed launch left running (`bench.ledger.killed_runs`) count as
interrupted and are given out again. The missing runs of a grid are queued and claimed one by one;
for a search, each claim asks the sampler.

A ledger belongs to one version of the code and of its texts, because runs with another version
could not be compared; a launch with another one is refused. The grid may change: cells are
identified one by one, so complete runs are kept, new cells are run, and removed cells are left
out.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from bench.cells.grid import Cell, label, label_forms
from bench.ledger.attempts import INVALID, REPEAT, attempts_of, is_missing, point_of
from bench.ledger.entries import (
    Entry,
    Reading,
    entries_of,
    in_grid,
    looks_of,
    say_change,
)
from bench.ledger.journal import locked, open_journal, open_study, refuse_change, set_aside
from bench.ledger.killed_runs import REASON, killed_runs
from bench.ledger.ledger_view import LedgerView
from bench.ledger.outcome import Outcome
from bench.spec import Study
from gpt.config import RunConfig
from gpt.errors import ConfigError, MachineError

__all__ = ["Claim", "Entry", "Ledger"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A run that was given out; whoever claimed it must settle it."""

    trial: optuna.Trial
    label: str
    config: RunConfig
    """The complete config, with its seed."""

    @property
    def name(self) -> str:
        """Unique in its ledger."""
        return str(self.trial.number)


class Ledger(LedgerView):
    """The runs of one study. Open it by `with Ledger.open(...) as ledger`.

    Args:
        study: the Optuna study that holds the runs.
        spec: what the study asks.
        overrides: the `--set` settings, for the cells that a search will draw.
    """

    def __init__(self, study: optuna.Study, spec: Study, overrides: Mapping[str, str]) -> None:
        super().__init__(study)
        self._spec = spec
        self._overrides = overrides
        self._cells: dict[str, Cell] = {}
        self._new: list[str] = []

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        spec: Study,
        *,
        overrides: Mapping[str, str],
        identity: Mapping[str, str],
        fresh: bool = False,
        frozen: bool = False,
    ) -> Iterator["Ledger"]:
        """Open or make the ledger at `path`, locked against other launches.

        Args:
            identity: what all runs must share, such as the code: by name -> its digest.
            fresh: rename an existing ledger, which is kept, and begin a new one.
            frozen: open it for reading, without a lock; every write raises `FrozenError`.

        Raises:
            ConfigError: the ledger's runs were made with another code or text.
            MachineError: another launch holds it, or its file is damaged or can't be made.
        """
        with nullcontext() if frozen else locked(path):
            replaced = set_aside(path) if fresh and path.exists() else []
            study = open_study(path, spec, frozen=frozen)
            if replaced:
                study.set_user_attr("replaced", replaced)
            refuse_change(study, identity)
            ledger = cls(study, spec, overrides)
            ledger._settle_killed()
            yield ledger

    @classmethod
    def read(cls, path: Path) -> "Reading":
        """Read the ledger at `path`, without changing it; also while a launch writes to it.

        Raises:
            ConfigError: there is no such file.
            MachineError: it is damaged, holds no study, or can't be read.
        """
        try:
            there = path.is_file()
        except OSError:  # a name that the file system refuses, such as one that is too long
            there = False
        if not there:
            raise ConfigError(f"a ledger must be a file but {path} is not there")
        try:
            study = optuna.load_study(study_name="ledger", storage=open_journal(path))
        except KeyError:
            raise MachineError(f"a ledger must hold a study but {path} is empty") from None
        kept = in_grid(study, entries_of(study))[0]
        return Reading(entries=kept, looks=looks_of(study), study=study)

    def keep_look(self, look: Mapping[str, Any]) -> None:
        """Store what was decided at a look, see `bench.conclude.looks`."""
        self._study.set_user_attr("looks", [*self.looks, look])

    def note(self, name: str, value: Any) -> None:
        """Store a JSON value beside the runs, unless it is stored already."""
        if self.noted(name) != value:
            self._study.set_user_attr(f"note {name}", value)

    def enqueue(self, cells: Sequence[Cell], seeds: Mapping[str, int] | int) -> None:
        """Queue runs that were begun but not settled, and for a grid all missing runs, by seed.

        Every second seed goes through the cells backwards (A B C C B A), so that a machine that
        becomes slower or faster favours no cell.

        Args:
            cells: the present cells of a grid; a search draws its own.
            seeds: number of seeds by the cell's key, or one for all; other cells need no run.
        """
        for _ in self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.tell(
                self._study.ask(), state=TrialState.FAIL
            )  # queued by an earlier launch
        attempts = attempts_of(self._study)
        if self._spec.search:
            for tries in attempts.values():
                if is_missing(tries):
                    self._study.enqueue_trial(point_of(tries[-1]))
            return
        self._take_grid(cells)
        if isinstance(seeds, int):
            seeds = {cell.key: seeds for cell in cells}
        first = self._spec.first_seed
        for seed in range(first, first + max(seeds.values(), default=0)):
            for cell in cells if seed % 2 == 0 else reversed(cells):
                due = seed < first + seeds.get(cell.key, 0)
                if due and is_missing(attempts[cell.config.with_seed(seed).key]):
                    self._queue(cell.key, seed)

    def changes(self) -> str:
        """How the grid differs from the ledger's earlier one, in a line; "" if it doesn't.

        Removed cells are named each time, new cells only once.
        """
        return say_change(in_grid(self._study, entries_of(self._study))[1], self._new)

    def n_left(self) -> int:
        """Runs not yet claimed."""
        waiting = len(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
        if self._spec.search is None:
            return waiting
        return waiting + max(0, self._spec.search.n_trials - len(attempts_of(self._study, True)))

    def claim(self) -> Claim | None:
        """Take the next run, or None if all have been claimed.

        A search skips points without a valid config, which are settled as infeasible, and points
        that were drawn before, which are settled with the value that they had.
        """
        while self.n_left():
            trial = self._study.ask()
            if self._spec.search is None:
                cell = self._cells[trial.user_attrs["cell"]]
                config = cell.config.with_seed(trial.user_attrs["seed"])
                return self._give_out(trial, cell.label, config)
            try:
                config = self._spec.config(trial).override(self._overrides)
            except ConfigError as error:
                trial.set_user_attr("label", label(point_of(trial)))
                self._pass_over(trial, INVALID, Outcome.INFEASIBLE, reason=str(error))
                continue
            config = config.canonical().with_seed(self._spec.first_seed)
            before = attempts_of(self._study, running=True)[config.key]
            if not is_missing(before):
                trial.set_user_attr("summary", before[-1].user_attrs.get("summary", {}))
                reason = f"the same as trial {before[-1].number}"
                self._pass_over(trial, REPEAT, Outcome.COMPLETE, reason=reason)
                continue
            return self._give_out(trial, self._free_label(trial, config.key), config)
        return None

    def _free_label(self, trial: optuna.Trial, run: str) -> str:
        """The shortest label of a search's point that no other of its runs has."""
        runs = attempts_of(self._study, running=True)
        taken = {tries[-1].user_attrs.get("label") for key, tries in runs.items() if key != run}
        return next(form for form in label_forms(run, point_of(trial)) if form not in taken)

    def should_prune(self, claim: Claim, evaluation: int, value: float) -> bool:
        """Report the metric of a search at its n-th evaluation; return whether to stop the run."""
        if self._spec.search is None:
            return False
        claim.trial.report(value, evaluation)
        return claim.trial.should_prune()

    def settle(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        reason: str = "",
        facts: Mapping[str, Any] | None = None,
        summary: Mapping[str, float] | None = None,
    ) -> None:
        """Store the outcome of a claimed run."""
        claim.trial.set_user_attr("facts", dict(facts or {}))
        claim.trial.set_user_attr("summary", dict(summary or {}))
        self._settle(claim.trial, outcome, reason=reason)

    def retry(self, claim: Claim) -> bool:
        """Queue a failed run again; False if it has used up its attempts."""
        if not is_missing(attempts_of(self._study)[claim.config.key]):
            return False
        if self._spec.search:
            self._study.enqueue_trial(point_of(claim.trial))
        else:
            self._queue(claim.config.cell_key, claim.config.train.seed)
        return True

    def _take_grid(self, cells: Sequence[Cell]) -> None:
        """Store the labels of the grid's cells, for readers of the ledger."""
        self._cells = {cell.key: cell for cell in cells}
        before = self._study.user_attrs.get("grid")
        now = {cell.key: cell.label for cell in cells}
        if now != before:
            self._study.set_user_attr("grid", now)
        if before is not None:
            self._new += [cell.label for cell in cells if cell.key not in before]

    def _give_out(self, trial: optuna.Trial, name: str, config: RunConfig) -> Claim:
        trial.set_user_attr("label", name)
        trial.set_user_attr("config", config.to_json())
        trial.set_user_attr("run", config.key)  # last: a trial with a run key has the others too
        return Claim(trial=trial, label=name, config=config)

    def _settle(self, trial: optuna.Trial, outcome: Outcome, *, reason: str) -> None:
        trial.set_user_attr("reason", reason)
        trial.set_user_attr("outcome", outcome.value)
        self._tell(trial, outcome)

    def _pass_over(self, trial: optuna.Trial, kind: str, outcome: Outcome, *, reason: str) -> None:
        """Settle a point that needs no run; it counts as drawn once everything is written."""
        trial.set_user_attr("reason", reason)
        trial.set_user_attr("outcome", outcome.value)
        trial.set_user_attr("run", f"{kind} {trial.number}")
        self._tell(trial, outcome)

    def _tell(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Tell the sampler the result; it takes a run without a value as failed."""
        value = trial.user_attrs.get("summary", {}).get(self._spec.metric)
        if outcome is Outcome.COMPLETE and value is not None:
            self._study.tell(trial, value)
        else:
            pruned = outcome is Outcome.PRUNED
            self._study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.FAIL)

    def _queue(self, cell: str, seed: int) -> None:
        """Queue a run of a grid, without parameters, because Optuna lets no choices change."""
        self._study.enqueue_trial({}, user_attrs={"cell": cell, "seed": seed})

    def _settle_killed(self) -> None:
        """End what a killed launch left running: with its outcome, or else as interrupted."""
        for trial, outcome in killed_runs(self._study):
            if outcome is not None:
                self._tell(trial, outcome)
            else:
                self._settle(trial, Outcome.INTERRUPTED, reason=REASON)
