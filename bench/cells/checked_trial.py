"""What may a study ask its trial? Questions whose answers a ledger keeps and gives back the same.

A point goes through a journal of JSON lines, where a tuple comes back as a list and a scalar of
numpy not at all. So choices are made plain where they are asked, whatever the trial is: one of a
plan's walk, of a launch, or of a search. What can't be kept is refused there, and not when the
study has trained for an hour.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from optuna.trial import BaseTrial

from gpt.errors import ConfigError

OURS = "seed"
"""The one name that a study can't ask for: the ledger keeps each run's seed under it."""

PLAIN = frozenset({type(None), bool, int, float, str})
"""What JSON gives back as it was."""


class StudyError(ConfigError):
    """The study's own code is wrong, at whatever point: a plan ends with it, naming the line."""


@dataclass(frozen=True)
class CheckedChoices:
    """Choices as they were asked for, as they are written down, and what of it means which."""

    asked: Collection[Any]
    written: list[Any]
    meant: dict[Any, Any]


class CheckedTrial:
    """Stands between a study's `cell` and its trial, and lets through what can be kept.

    It offers nothing else of the trial, for a `cell` that looks at more than its answers (the
    number of the trial, say) does not make the same config each time.

    Args:
        trial: what answers; it is asked for plain values only.
        kept: choices by name that were asked for before, so that a list is looked through once.
    """

    def __init__(self, trial: BaseTrial, kept: dict[str, "CheckedChoices"]) -> None:
        self._trial = trial
        self._kept = kept

    def suggest_categorical(self, name: str, choices: Collection[Any]) -> Any:
        """One of the choices; a list or tuple goes to the trial by how it is written."""
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
    """Whether two lists hold the same, 1 and True told apart, as far as a glance shows it."""
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
    """The choices in their order, as Python's own values; raises `StudyError` if they can't be."""
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
    """What numpy, or a kin of it, made, as Python's own."""
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
