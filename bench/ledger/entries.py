"""What does a ledger say of its runs? Their latest attempts, checked as they are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from bench.cells.grid import Dropped
from bench.ledger.attempts import INVALID, NO_RUN, REPEAT, attempts_of
from bench.ledger.outcome import Outcome
from gpt.config import RunConfig
from gpt.errors import ConfigError

_WORDS = {outcome.value for outcome in Outcome}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the ledger says of one run: its latest attempt."""

    label: str
    config: RunConfig
    outcome: Outcome
    reason: str
    summary: Mapping[str, float]
    facts: Mapping[str, Any]

    attempt: str = ""
    """Name of that attempt in the ledger and in the tag of its MLflow run."""

    @property
    def cell(self) -> str:
        """Key of its cell, which identifies it; the label is for people."""
        return self.config.cell_key


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The content of a ledger that was opened for reading only."""

    entries: list[Entry]

    looks: list[Any]
    """What was decided at each look, see `bench.conclude.looks`."""

    study: optuna.Study
    """The Optuna study that it is."""

    @property
    def id(self) -> str:
        """Identifies this ledger among all that the study ever had."""
        return str(self.study.user_attrs["id"])

    @property
    def dropped(self) -> list[Dropped]:
        """The points that a search drew and that have no valid config."""
        return dropped_of(self.study)

    def noted(self, name: str) -> Any:
        """The value that `Ledger.note` stored under that name, or None."""
        return noted_in(self.study, name)


def refuse_unreadable(study: optuna.Study) -> None:
    """Raise `ValueError`, naming the trial, if one lacks what its run needs to be counted."""
    for trial in study.get_trials(deepcopy=False):
        outcome = trial.user_attrs.get("outcome")
        if outcome is not None and outcome not in _WORDS:
            raise ValueError(f"trial {trial.number} has the unknown outcome {outcome!r}")
        if missing := _needs(trial) - trial.user_attrs.keys():
            raise ValueError(f"trial {trial.number} lacks its {', '.join(sorted(missing))}")
        if "config" in trial.user_attrs:
            _config_of(trial)


def _needs(trial: FrozenTrial) -> set[str]:
    run = trial.user_attrs.get("run")
    if run is None or run.startswith(REPEAT):  # a killed launch may have written no run key
        return set()
    if run.startswith(INVALID):
        return {"label", "reason"}
    settled = {"outcome", "reason"} if trial.state.is_finished() else set()
    return {"label", "config"} | settled


def entries_of(study: optuna.Study) -> list[Entry]:
    """The latest attempt of each run that was settled, in the order in which runs were begun."""
    return [
        Entry(
            label=tries[-1].user_attrs["label"],
            config=_config_of(tries[-1]),
            outcome=Outcome(tries[-1].user_attrs["outcome"]),
            reason=tries[-1].user_attrs["reason"],
            summary=tries[-1].user_attrs.get(
                "summary", {}
            ),  # a killed launch may have written none
            facts=tries[-1].user_attrs.get("facts", {}),
            attempt=str(tries[-1].number),
        )
        for run, tries in attempts_of(study).items()
        if not run.startswith(NO_RUN)
    ]


def in_grid(study: optuna.Study, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The runs of cells that are in the grid, with their present labels; and the other runs."""
    grid = study.user_attrs.get("grid")
    if grid is None:  # a search, or a ledger of an earlier version
        return list(entries), []
    kept, gone = [], []
    for entry in entries:
        name = grid.get(entry.cell)
        if name is None:
            gone.append(entry)
        else:
            kept.append(replace(entry, label=name))
    return kept, gone


def looks_of(study: optuna.Study) -> list[Any]:
    """What was decided at each look."""
    return list(study.user_attrs.get("looks", []))


def noted_in(study: optuna.Study, name: str) -> Any:
    """The value that `Ledger.note` stored under that name, or None."""
    return study.user_attrs.get(f"note {name}")


def say_change(gone: Sequence[Entry], new: Sequence[str]) -> str:
    """How a grid has changed, in a line; "" if it hasn't.

    Args:
        gone: runs of cells that are no longer in it.
        new: labels of cells that were not in it before.
    """
    runs = "1 run" if len(gone) == 1 else f"{len(gone)} runs"
    labels = _some(list(dict.fromkeys(entry.label for entry in gone)))
    left_out = f"{labels} left out ({runs}, kept in the ledger and in MLflow)"
    parts = [left_out] * bool(gone) + [f"{_some(new)} new"] * bool(new)
    return f"The grid has changed: {'; '.join(parts)}." if parts else ""


def dropped_of(study: optuna.Study) -> list[Dropped]:
    """The points that a search drew and that have no valid config."""
    return [
        Dropped(label=trial.user_attrs["label"], reason=trial.user_attrs["reason"])
        for run, tries in attempts_of(study).items()
        for trial in tries
        if run.startswith(INVALID)
    ]


def _config_of(trial: FrozenTrial) -> RunConfig:
    try:
        return RunConfig.from_json(trial.user_attrs["config"])
    except (ConfigError, TypeError) as error:
        raise ValueError(f"trial {trial.number} has {error}") from None


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
