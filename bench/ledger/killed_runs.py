"""Which runs were under way when their launch was killed? Found as the next launch opens a ledger.

A launch that ends in order settles all its runs. So whatever is still marked as running, when
nobody else holds the ledger's lock, belongs to a launch that was killed.
"""

from collections.abc import Iterator

import optuna
from optuna.trial import TrialState

from bench.ledger.outcome import Outcome

REASON = "the launch that ran it was killed"


def killed_runs(study: optuna.Study) -> Iterator[tuple[optuna.Trial, Outcome | None]]:
    """The trials that a killed launch left running, each with its outcome if that was written."""
    for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        outcome = frozen.user_attrs.get("outcome")
        trial = optuna.Trial(study, frozen._trial_id)
        yield trial, None if outcome is None else Outcome(outcome)
