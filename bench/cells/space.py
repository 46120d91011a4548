"""Which points does a study's space have? All of them by a walk, or a random sample.

The walk is depth first: `cell` is called once for each point, and each call takes the next value
of the last parameter that has one left. Optuna's BruteForceSampler finds the same points, but it
reads all earlier ones for each parameter, which takes an hour where this takes seconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, cast

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)

from bench.cells.checked_trial import StudyError
from bench.spec import Study, Trial
from gpt.config import RunConfig
from gpt.errors import ConfigError

MAX_POINTS = 100_000
"""The most points that a grid may have, because each of its cells is trained."""

TOO_MANY = (
    f"a grid may have {MAX_POINTS:,} points but this one has more: choose among fewer values, or "
    "draw some, Study(cell, search=Search(n_trials=100))"
)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One way through a study's `cell`."""

    params: dict[str, Any]
    """Parameter -> value; incomplete where `cell` raised."""

    config: RunConfig | ConfigError
    """The config of this point, or why it has none."""


def walk(study: Study) -> Iterator[Point]:
    """All points of a grid, each once, in the order in which its choices are written.

    Raises:
        StudyError: the study is wrong, or its space is not finite.
    """
    known: dict[str, BaseDistribution] = {}
    turns: list[int] = []
    for _ in range(MAX_POINTS):
        path = _Path(turns, known)
        yield _point(study, cast(Trial, path))
        if len(path.n_values) < len(turns):
            raise StudyError("a cell must ask the same whenever it gets the same answers")
        turns = path.turns
        while turns and turns[-1] + 1 == path.n_values[len(turns) - 1]:
            turns.pop()
        if not turns:
            return
        turns[-1] += 1
    raise StudyError(TOO_MANY)


def draw(study: Study, n_points: int) -> Iterator[Point]:
    """Some points of a search's space, the same each time; raises `StudyError` as `walk`."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draws = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(n_points):
        trial = draws.ask()
        yield _point(study, trial)
        draws.tell(trial, 0.0)


def _point(study: Study, trial: Trial) -> Point:
    try:
        config: RunConfig | ConfigError = study.config(trial)
    except StudyError:
        raise
    except ConfigError as error:
        config = error
    return Point(params=dict(trial.params), config=config)


class _Path:
    """A trial that gives prescribed answers, then the first value of each further parameter.

    Args:
        turns: index of the value to take, for each of the first parameters.
        known: distributions of earlier paths, by name; a name means the same on all paths.
    """

    def __init__(self, turns: Sequence[int], known: dict[str, BaseDistribution]) -> None:
        self.turns = list(turns)
        self.n_values: list[int] = []
        self.params: dict[str, Any] = {}
        self._known = known
        self._asked: dict[str, BaseDistribution] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        before = self._known.get(name)
        if not isinstance(before, _Choices) or before.asked is not choices:
            before = _Choices(choices)
        return self._answer(name, before, choices)

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> Any:
        asked = IntDistribution(low, high, log=log, step=step)
        return self._answer(name, asked, range(asked.low, asked.high + 1, asked.step))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None, log: bool
    ) -> Any:
        asked = FloatDistribution(low, high, log=log, step=step)
        if asked.step is None and asked.low < asked.high:
            raise StudyError(
                f"a grid is finite but {name!r} has no step: give it one, or choose among values"
            )
        if asked.step is not None and asked.high - asked.low > MAX_POINTS * asked.step:
            raise StudyError(TOO_MANY)
        return self._answer(name, asked, _steps(asked.low, asked.high, asked.step))

    def _answer(self, name: str, asked: BaseDistribution, values: Sequence[Any]) -> Any:
        before = self._known.setdefault(name, asked)
        if before is not asked:
            check_distribution_compatibility(before, asked)
        before = self._asked.setdefault(name, asked)
        if before is not asked and before != asked:
            raise StudyError(f"{name!r} is asked for twice, with other values")
        if name not in self.params:
            place = len(self.n_values)
            if place == len(self.turns):
                self.turns.append(0)
            self.n_values.append(len(values))
            if self.turns[place] >= len(values):
                raise StudyError(f"{name!r} has fewer values now than it had")
            self.params[name] = values[self.turns[place]]
        return self.params[name]


class _Choices(CategoricalDistribution):
    """Remembers the list that it was made from, so that it can be reused for that list."""

    def __init__(self, choices: Sequence[Any]) -> None:
        super().__init__(choices)
        self.asked = choices


@cache
def _steps(low: float, high: float, step: float | None) -> list[float]:
    """The numbers from low to high, as they are written: 0.3, not 0.30000000000000004."""
    if step is None:
        return [low]
    start, stop, width = (Decimal(str(value)) for value in (low, high, step))
    return [float(start + i * width) for i in range(int((stop - start) / width) + 1)]
