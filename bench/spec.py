"""What the author of a study writes: a question as a docstring, and one `Study`.

    def cell(trial: Trial) -> RunConfig:
        n_head = choose(trial, "n_head", [1, 2, 4])
        return replace(BASE, model=replace(BASE.model, n_head=n_head))

    study = Study(cell, seeds=3)

`cell` is pure: it asks the trial for values and returns a config. An `if` in it is a conditional
space. It neither trains nor looks at the device, so a test can call it with a `FixedTrial`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import BaseTrial as Trial
from optuna.trial import FixedTrial

from bench.metrics import LARGER_IS_BETTER, Metric
from gpt.config import RunConfig
from gpt.errors import ConfigError

__all__ = [
    "BasePruner",
    "FixedTrial",
    "HyperbandPruner",
    "MedianPruner",
    "Metric",
    "NopPruner",
    "RandomSampler",
    "Search",
    "Study",
    "TPESampler",
    "Trial",
    "choose",
]

Choice = TypeVar("Choice")


def choose(trial: Trial, name: str, choices: Sequence[Choice]) -> Choice:
    """`suggest_categorical` that keeps the choices' type, so that a type checker sees a typo."""
    return cast(Choice, trial.suggest_categorical(name, choices))  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Search:
    """Sample the space instead of enumerating it."""

    n_trials: int
    """How many points to try."""

    sampler: Callable[[int], BaseSampler] = lambda seed: TPESampler(seed=seed)
    """Makes the sampler from the study's seed."""

    pruner: Callable[[], BasePruner] = NopPruner
    """Makes the pruner. It sees the metric at each evaluation, counted from 1."""

    def __post_init__(self) -> None:
        if self.n_trials < 1:
            raise ConfigError(f"n_trials must be at least 1 but got {self.n_trials}")


@dataclass(frozen=True)
class Study:
    """A question that a set of runs can answer."""

    cell: Callable[[Trial], RunConfig]
    """One point of the space as a config."""

    metric: Metric = "val_bits_per_byte"
    """What ranks the cells. `val_loss` is refused where tokenizers differ."""

    seeds: int = 1
    """Runs of each cell; runs of unlike cells with one seed see the same text in one order."""

    first_seed: int = 0
    """Seeds count from here."""

    search: Search | None = None
    """None: the grid of all cells."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError(f"seeds must be at least 1 but got {self.seeds}")
        if self.search is not None and self.seeds != 1:
            raise ConfigError(
                f"a search gives each point one seed but got seeds={self.seeds}; "
                "measure its best again in a grid study"
            )

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Which end of the metric is better."""
        return "maximize" if self.metric in LARGER_IS_BETTER else "minimize"
