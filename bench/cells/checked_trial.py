"""The trial that a study's `cell` sees: it accepts only values that a ledger can store.

A ledger writes a point as JSON, which turns a tuple into a list and can't hold a numpy scalar. So
choices become plain Python values when the study asks for them, whichever trial answers: that of a
plan, of a launch or of a search. A value that can't be stored is refused at that point, and not
after an hour of training.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from optuna.trial import BaseTrial

from gpt.errors import ConfigError

OURS = "seed"
"""The one name that a study can't ask for: the ledger keeps each run's seed under it."""

PLAIN = frozenset({type(None), bool, int, float, str})
"""Types that JSON stores without change."""


class StudyError(ConfigError):
    """The study's own code is wrong: planning stops, and the message names the line."""


@dataclass(frozen=True)
class CheckedChoices:
    """The choices of one parameter, checked."""

    asked: Collection[Any]
    """As the study gave them."""

    written: list[Any]
    """As the ledger stores them."""

    meant: dict[Any, Any]
    """Stored form -> the study's own value."""


class CheckedTrial:
    """Wraps a trial, and passes on only requests whose answers a ledger can store.

    It offers nothing else of the trial: a `cell` that used more than its answers, such as the
    number of the trial, would not make the same config each time.

    Args:
        trial: answers the requests; it sees plain values only.
        kept: choices that were checked before, by name, so that each list is checked once.
    """

    def __init__(self, trial: BaseTrial, kept: dict[str, "CheckedChoices"]) -> None:
        self._trial = trial
        self._kept = kept

    def suggest_categorical(self, name: str, choices: Collection[Any]) -> Any:
        """One of the choices; a list or tuple is passed to the trial as its `repr`."""
        if name not in self._kept or not _same(self._kept[name].asked, choices):
            _check_name(name)
            self._kept[name] = _keep(name, choices)
        kept = self._kept[name]
        return kept.meant[self._trial.suggest_categorical(name, kept.written)]

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number from low to high, both included."""
        _check_name(name)
        low, high, step = (_number(name, value, int) for value in (low, high, step))
        return self._trial.suggest_int(name, low, high, step=step, log=log)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from low to high; in a grid it needs a step."""
        _check_name(name)
        low, high = (_number(name, value, int, float) for value in (low, high))
        step = None if step is None else _number(name, step, int, float)
        return self._trial.suggest_float(name, low, high, step=step, log=log)


def _same(one: Any, other: Any) -> bool:
    """Whether two lists surely hold the same values; 1 and True differ."""
    if one is other or not type(one) is type(other) is list:
        return one is other
    types = list(map(type, one))
    return one == other and types == list(map(type, other)) and PLAIN.issuperset(types)


def _check_name(name: str) -> None:
    if type(name) is not str or not name:
        raise StudyError(f"what a study varies must have a name but got {name!r}")
    if name == OURS:
        raise StudyError(
            f"a study can't vary {OURS!r}, which tells the runs of one cell apart: "
            "Study(..., seeds=3) gives each cell three"
        )


def _keep(name: str, choices: Collection[Any]) -> CheckedChoices:
    """The choices in their order, as plain values; raises `StudyError` if they can't be stored."""
    if isinstance(choices, str | bytes | set | frozenset):
        raise StudyError(
            f"the choices of {name!r} must be a list but got the {type(choices).__name__} "
            f"{choices!r}"
        )
    listed = [_plain(choice) for choice in _plain(choices)]
    for choice in listed:
        if not _can_be_kept(choice):
            raise StudyError(
                f"a choice must be None, a bool, a number, a text or a list of these but "
                f"{name!r} has {choice!r}: choose among the keys of a dict"
            )
    meant = {repr(choice) if _is_list(choice) else choice: choice for choice in listed}
    if len(meant) < len(listed):
        raise StudyError(f"the choices of {name!r} must differ but {_twins(listed)} are equal")
    return CheckedChoices(choices, list(meant), meant)


def _can_be_kept(choice: Any) -> bool:
    if _is_list(choice):
        return all(_can_be_kept(_plain(part)) for part in choice)
    return type(choice) in PLAIN and choice == choice  # no NaN


def _is_list(choice: Any) -> bool:
    return type(choice) in (list, tuple)


def _plain(value: Any) -> Any:
    """A numpy or torch value as a plain Python value."""
    return value.tolist() if hasattr(value, "tolist") else value


def _twins(listed: list[Any]) -> str:
    return next(
        f"{one!r} and {other!r}"
        for i, other in enumerate(listed)
        for one in listed[:i]
        if one == other
    )


def _number(name: str, value: Any, *kinds: type) -> Any:
    value = _plain(value)
    if type(value) not in kinds:
        raise StudyError(f"the ends and steps of {name!r} must be numbers but got {value!r}")
    return value
