"""What does a report lack: runs that are still to be made, or what was recorded of those made?"""

from collections.abc import Sequence
from pathlib import Path

from optuna.trial import TrialState

from bench.conclude.standings import Standings
from bench.ledger.attempts import attempts_of
from bench.ledger.entries import Reading
from bench.ledger.outcome import Outcome
from bench.plan.about import About
from bench.record.reading import artifact
from bench.results import Runs

ALWAYS = "config.json"
"""A file that every run leaves."""

QUEUED = (TrialState.WAITING, TrialState.RUNNING)


def say_unfinished(about: About, standings: Standings, readings: Sequence[Reading]) -> str:
    """That a study was stopped, or is under way; "" if it came to its end.

    Args:
        standings: of the cells that the answer is about.
        readings: of the study's own ledger, then of those of its parts.
    """
    entries = [entry for reading in readings for entry in reading.entries]
    done = sum(entry.outcome is not Outcome.INTERRUPTED for entry in entries)
    first, *others = map(_left_of_grid, readings)
    if about.n_trials:
        first = max(0, about.n_trials - _n_ended(readings[0]))
    left = first + sum(others)
    looked = max((look.n_seeds for look in standings.looks), default=0)
    is_open = not (standings.settled or standings.is_hopeless)
    undecided = len(about.looks) > 1 and looked < about.looks[-1] and is_open
    if not left and not undecided:
        return ""
    what = f"at least {left} {'are' if left > 1 else 'is'} left" if left else "more are left"
    return (
        f"This study is not finished: {done} run{'s' * (done != 1)} ended and {what}, so the "
        "answer may change. The same command goes on with it."
    )


def _left_of_grid(reading: Reading) -> int:
    """Runs that were cut short, are queued, or are under way."""
    cut = {
        (entry.cell, entry.config.train.seed)
        for entry in reading.entries
        if entry.outcome is Outcome.INTERRUPTED
    }
    queued = reading.study.get_trials(deepcopy=False, states=QUEUED)
    return len(cut | {(t.user_attrs.get("cell"), t.user_attrs.get("seed")) for t in queued})


def _n_ended(search: Reading) -> int:
    """Points of a search that were not cut short, those that needed no run among them."""
    attempts = attempts_of(search.study).values()
    return sum(tries[-1].user_attrs["outcome"] != Outcome.INTERRUPTED for tries in attempts)


def say_lacking(complete: Runs, folder: Path) -> str:
    """What of the complete runs is not recorded, or has no files any more; "" if all is there.

    Args:
        folder: where the study was run.
    """
    ids = [run_id for run_id in complete.run_id if isinstance(run_id, str)]
    n_runs, n_lost = len(complete), len(complete) - len(ids)
    if n_lost:
        return (
            f"Of {n_lost} of {n_runs} complete runs nothing is recorded beside the ledger (in "
            "mlflow.db and mlruns), so their curves, samples and passages are not shown."
        )
    n_bare = sum(artifact(run_id, ALWAYS, folder) is None for run_id in ids)
    if n_bare:
        return (
            f"The files of {n_bare} of {n_runs} complete runs are not beside the ledger (in "
            "mlruns), so their samples and passages are not shown, and their curves are what "
            "MLflow kept of them."
        )
    return ""
