"""What the author of a study writes: a question as a docstring, and one `Study`.

    def cell(trial: Trial) -> RunConfig:
        n_head = choose(trial, "n_head", [1, 2, 4])
        return replace(BASE, model=replace(BASE.model, n_head=n_head))

    study = Study(cell, seeds=3)

`cell` is pure: it asks the trial for values and returns a config. An `if` in it is a conditional
space. It neither trains nor looks at the device, so a test can call it with a `FixedTrial`.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar, cast

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import BaseTrial as Trial
from optuna.trial import FixedTrial

from bench.cells.checked_trial import CheckedChoices, CheckedTrial, StudyError
from bench.metrics import LARGER_IS_BETTER, Metric
from gpt.config import RunConfig, check
from gpt.errors import ConfigError, ConfigTypeError, GptBenchError

__all__ = [
    "MAX_SEEDS",
    "BasePruner",
    "FixedTrial",
    "HyperbandPruner",
    "MedianPruner",
    "Metric",
    "NopPruner",
    "RandomSampler",
    "Search",
    "Study",
    "StudyError",
    "TPESampler",
    "Trial",
    "blame",
    "choose",
]

Choice = TypeVar("Choice")

MAX_SEEDS = 1_000_000
"""The most runs of a cell; larger seeds are left for measuring the best cells again."""


def choose(trial: Trial, name: str, choices: Sequence[Choice]) -> Choice:
    """`suggest_categorical` that keeps the choices' type, so that a type checker sees a typo."""
    return cast(Choice, trial.suggest_categorical(name, choices))  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Search:
    """Sample the space instead of enumerating it."""

    n_trials: int
    """How many points to try."""

    n_finalists: int = 3
    """How many of the best are run again, on fresh seeds, to tell which one is best; 0: none."""

    sampler: Callable[[int], BaseSampler] = lambda seed: TPESampler(seed=seed)
    """Makes the sampler from the study's seed."""

    pruner: Callable[[], BasePruner] = NopPruner
    """Makes the pruner. It sees the metric of each evaluation, counted from 1, on the part of the
    validation text that every evaluation reads."""

    def __post_init__(self) -> None:
        check.field_types(self)
        check.at_least(1, self, "n_trials")
        check.at_least(0, self, "n_finalists")
        if self.n_finalists == 1:
            raise ConfigError("n_finalists must be 0 or at least 2, for one races with none")
        made = {"sampler": (self.sampler(0), BaseSampler), "pruner": (self.pruner(), BasePruner)}
        for name, (part, kind) in made.items():
            if not isinstance(part, kind):
                raise ConfigTypeError(f"{name} must make a {kind.__name__} but made {part!r}")


@dataclass(frozen=True)
class Study:
    """A question that a set of runs can answer."""

    cell: Callable[[Trial], RunConfig]
    """One point of the space as a config."""

    metric: Metric = "val_bits_per_byte"
    """What ranks the cells. `val_loss` is refused where tokenizers differ."""

    seeds: int | Literal["auto"] = "auto"
    """Runs of each cell; runs of unlike cells with one seed see the same text in one order.

    `auto` gives two to each, and more to those that no other cell beats, until the best is found
    or there are twelve. A search runs each point once, and gives these runs to its finalists.
    """

    matters: float | None = None
    """The smallest difference that matters, as a share of the best; None: the metric's own."""

    first_seed: int = 0
    """Seeds count from here."""

    search: Search | None = None
    """None: the grid of all cells."""

    _kept: dict[str, CheckedChoices] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        check.field_types(self)
        if self.seeds != "auto":
            check.at_least(1, self, "seeds")
        check.at_least(0, self, "first_seed")
        if self.matters is not None and not 0 < self.matters < 1:
            raise ConfigError(f"matters must be between 0 and 1 but got {self.matters}")

    def config(self, trial: Trial) -> RunConfig:
        """The config that `cell` makes from the trial's answers.

        `bench.cells.checked_trial` checks what it asks for.

        Raises:
            ConfigError: this point makes no config.
            StudyError: the study is wrong, with file and line.
        """
        try:
            config = self.cell(cast(Trial, CheckedTrial(trial, self._kept)))
        except (Exception, SystemExit) as error:
            kinds = ConfigTypeError | StudyError
            if isinstance(error, ConfigError) and not isinstance(error, kinds):
                raise
            frames = traceback.extract_tb(error.__traceback__)[1:]  # below this one
            raise blame(error, frames[0].filename if frames else self._place[0]) from error
        if not isinstance(config, RunConfig):
            path, line = self._place
            raise StudyError(
                f"{path}:{line}: cell must return a RunConfig but got {type(config).__name__}"
            )
        return config

    @property
    def _place(self) -> tuple[str, int]:
        """File and line of `cell`."""
        code = getattr(self.cell, "__code__", None)
        return (code.co_filename, code.co_firstlineno) if code else ("the study", 1)

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Whether a smaller or a larger value of the metric is better."""
        return "maximize" if self.metric in LARGER_IS_BETTER else "minimize"


def blame(error: BaseException, path: str) -> StudyError:
    """The error as the author of a study's file needs it: which line of it raised what."""
    frames = traceback.extract_tb(error.__traceback__)
    line = next((f.lineno for f in reversed(frames) if f.filename == path), 1)
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, GptBenchError):
        said = str(error)
    elif isinstance(error, SystemExit):
        said = "a study must not end the program but it called sys.exit()"
    return StudyError(f"{path}:{line}: {said}")
