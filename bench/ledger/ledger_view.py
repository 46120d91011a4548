"""The read-only half of a ledger: everything that can be asked without changing it."""

from typing import Any

import optuna

from bench.cells.grid import Dropped
from bench.ledger.entries import Entry, dropped_of, entries_of, in_grid, looks_of, noted_in
from bench.ledger.outcome import Outcome


class LedgerView:
    """Reads what the Optuna study of a ledger holds."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    @property
    def id(self) -> str:
        """Identifies this ledger among all that the study ever had."""
        return str(self._study.user_attrs["id"])

    @property
    def replaced(self) -> list[str]:
        """Ids of the ledgers that `fresh` set aside for this one."""
        return list(self._study.user_attrs.get("replaced", []))

    @property
    def looks(self) -> list[Any]:
        """What was decided at each look, see `bench.conclude.looks`."""
        return looks_of(self._study)

    def noted(self, name: str) -> Any:
        """The value that `Ledger.note` stored under that name, or None."""
        return noted_in(self._study, name)

    def attempts(self) -> set[str]:
        """Names of all attempts that were ever given out."""
        trials = self._study.get_trials(deepcopy=False)
        return {str(trial.number) for trial in trials if "config" in trial.user_attrs}

    def left_out(self) -> set[str]:
        """Keys of cells with runs that are no longer in the grid."""
        gone = in_grid(self._study, entries_of(self._study))[1]
        return {entry.config.cell_key for entry in gone}

    def interrupted(self) -> set[str]:
        """Names of the attempts that a stop or a kill cut short."""
        trials = self._study.get_trials(deepcopy=False)
        return {
            str(trial.number)
            for trial in trials
            if trial.user_attrs.get("outcome") == Outcome.INTERRUPTED.value
        }

    def entries(self) -> list[Entry]:
        """The latest attempt of each run, in the order in which runs were first begun.

        For a grid, only runs of cells that it has now.
        """
        return in_grid(self._study, entries_of(self._study))[0]

    def dropped(self) -> list[Dropped]:
        """The points that a search drew and that have no valid config."""
        return dropped_of(self._study)
