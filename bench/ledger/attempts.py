"""How often was each run tried, and is it due again? Read from the trials of a ledger."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from bench.ledger.outcome import Outcome

MAX_ATTEMPTS = 3
"""How often a run that fails is tried before it counts as failed for good."""

INVALID, REPEAT = "invalid", "repeat"
"""Points of a search that need no run: without a valid config, or drawn before."""

NO_RUN = (INVALID, REPEAT)
"""Prefixes of the run keys of such points."""


def attempts_of(study: optuna.Study, running: bool = False) -> defaultdict[str, list[FrozenTrial]]:
    """Run key -> its attempts, oldest first; those under way only if asked for."""
    wanted = "run" if running else "outcome"
    attempts: defaultdict[str, list[FrozenTrial]] = defaultdict(list)
    for trial in study.get_trials(deepcopy=False):
        if wanted in trial.user_attrs and "run" in trial.user_attrs:
            attempts[trial.user_attrs["run"]].append(trial)
    return attempts


def is_missing(attempts: Sequence[FrozenTrial]) -> bool:
    """Whether a run with these attempts should be begun again (or at all)."""
    outcomes = [Outcome(trial.user_attrs.get("outcome", "complete")) for trial in attempts]
    if any(outcome.settled for outcome in outcomes):
        return False
    return outcomes.count(Outcome.FAILED) < MAX_ATTEMPTS


def point_of(trial: optuna.Trial | FrozenTrial) -> dict[str, Any]:
    """The parameters of a trial of a search."""
    return dict(trial.params)
