"""The checks that configs share: each names the field, the rule and the value it got."""

from collections.abc import Iterable
from typing import Any

from gpt.errors import ConfigError


def at_least(minimum: float, config: Any, *fields: str) -> None:
    """Raise `ConfigError` unless each field of `config` is `minimum` or more."""
    for field in fields:
        value = getattr(config, field)
        if value < minimum:
            raise ConfigError(f"{field} must be at least {minimum} but got {value}")


def within(low: float, high: float, config: Any, *fields: str) -> None:
    """Raise `ConfigError` unless each field lies in [low, high)."""
    for field in fields:
        value = getattr(config, field)
        if not low <= value < high:
            raise ConfigError(f"{field} must be in [{low}, {high}) but got {value}")


def one_of(choices: Iterable[str], config: Any, field: str) -> None:
    """Raise `ConfigError` unless the field is one of `choices`."""
    value = getattr(config, field)
    choices = tuple(choices)
    if value not in choices:
        raise ConfigError(f"{field} must be one of {', '.join(choices)} but got {value!r}")
