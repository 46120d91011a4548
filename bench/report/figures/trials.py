"""The trials of a search: those with a value, those stopped early, and those lost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bench.metrics import Metric

Distribution = CategoricalDistribution | FloatDistribution | IntDistribution


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The ended trials of a search."""

    complete: Sequence[FrozenTrial]
    """With a finite value, in their order."""

    pruned: Sequence[FrozenTrial]

    lost: Sequence[FrozenTrial]
    """All others: diverged, failed, without a valid config."""

    smaller: bool
    """Whether a smaller value is better."""

    @cached_property
    def values(self) -> dict[int, float]:
        """Number of a complete trial -> its value."""
        return {trial.number: float(trial.values[0]) for trial in self.complete}

    @cached_property
    def ordered(self) -> list[FrozenTrial]:
        """Complete trials, best first."""
        sign = 1 if self.smaller else -1
        return sorted(self.complete, key=lambda trial: sign * self.values[trial.number])

    @property
    def best(self) -> FrozenTrial:
        """The one with the best value; there must be one."""
        return self.ordered[0]

    @cached_property
    def distributions(self) -> dict[str, Distribution]:
        """Parameter -> what it was drawn from, in the order in which they were asked for."""
        found: dict[str, Distribution] = {}
        for trial in (*self.complete, *self.pruned, *self.lost):
            for name, distribution in trial.distributions.items():
                found.setdefault(name, cast(Distribution, distribution))
        return found

    def table(self, metric: Metric) -> pd.DataFrame:
        """A row a trial: number, outcome, its value or NaN, and its parameters."""
        trials = sorted((*self.complete, *self.pruned, *self.lost), key=lambda t: t.number)
        return pd.DataFrame(
            {
                "trial": trial.number,
                "outcome": trial.user_attrs.get("outcome", trial.state.name.lower()),
                metric: self.values.get(trial.number, math.nan),
                **trial.params,
            }
            for trial in trials
        )


def trials_of(search: optuna.Study) -> Trials:
    """The trials that have ended."""
    kinds: dict[str, list[FrozenTrial]] = {"complete": [], "pruned": [], "lost": []}
    for trial in search.get_trials(deepcopy=False):
        if trial.state is TrialState.PRUNED:
            kinds["pruned"].append(trial)
        elif trial.state is TrialState.COMPLETE and np.isfinite(trial.values[0]):
            kinds["complete"].append(trial)
        elif trial.state.is_finished():
            kinds["lost"].append(trial)
    return Trials(**kinds, smaller=search.direction is StudyDirection.MINIMIZE)


def limits_of(values: Sequence[float], *, smaller: bool) -> tuple[float, float]:
    """The ends of an axis for these values, beyond which bad ones may lie, but no good one."""
    signed = np.asarray(values) if smaller else -np.asarray(values)
    best, quartile, worst = np.quantile(signed, [0, 0.75, 1])
    end = min(worst, quartile + 1.5 * (quartile - best))
    pad = 0.06 * (end - best) or 0.01 * abs(best) or 1.0
    low, high = float(best - pad), float(end + pad)
    return (low, high) if smaller else (-high, -low)


def say_point(params: Mapping[str, Any]) -> str:
    """A trial's parameters: `learning_rate 0.00312, n_layer 2`."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in params.items()
    )
