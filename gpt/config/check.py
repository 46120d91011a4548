"""The checks that configs share: each names the field, the rule and the value it got."""

import math
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

from gpt.errors import ConfigError


def at_least(minimum: float, config: Any, *names: str) -> None:
    """Raise `ConfigError` unless each field of `config` is finite, and `minimum` or more."""
    for name in names:
        value = getattr(config, name)
        if not minimum <= value < math.inf:
            rule = f"at least {minimum}" if value < minimum else "a finite number"
            raise ConfigError(f"{name} must be {rule} but got {value}")


def within(low: float, high: float, config: Any, *names: str) -> None:
    """Raise `ConfigError` unless each field lies in [low, high)."""
    for name in names:
        value = getattr(config, name)
        if not low <= value < high:
            raise ConfigError(f"{name} must be in [{low}, {high}) but got {value}")


def literals(config: Any) -> None:
    """Raise `ConfigError` unless each field with a `Literal` type is one of its choices."""
    for field in fields(config):
        choices, value = get_args(field.type), getattr(config, field.name)
        if get_origin(field.type) is Literal and value not in choices:
            raise ConfigError(
                f"{field.name} must be one of {', '.join(choices)} but got {value!r}"
            )
