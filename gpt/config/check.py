"""The checks that configs share: each names the field, the rule and the value it got."""

import collections.abc
import math
from dataclasses import fields, replace
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from gpt.errors import ConfigError, ConfigTypeError

Config = TypeVar("Config")


def at_least(minimum: float, config: Any, *names: str) -> None:
    """Raise `ConfigError` unless each field of `config` is None, or finite and at least this."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not minimum <= value < math.inf:
            rule = f"at least {minimum}" if value < minimum else "a finite number"
            raise ConfigError(f"{name} must be {rule} but got {value}")


def within(low: float, high: float, config: Any, *names: str) -> None:
    """Raise `ConfigError` unless each field lies in [low, high)."""
    for name in names:
        value = getattr(config, name)
        if not low <= value < high:
            raise ConfigError(f"{name} must be in [{low}, {high}) but got {value}")


def field_types(config: Any) -> None:
    """Check that each field of a new dataclass has its own type, for its type is part of the key.

    No type is taken for another: 1 is no bool, True no int and 5.0 no int. A whole number is taken
    for a float, and what numpy made becomes Python's own, so that JSON gives the same config back.

    Raises:
        ConfigTypeError: a field has a value of another type.
        ConfigError: a field with a `Literal` type is none of its choices.
    """
    owner: type = type(config)
    for name, hint in hints_of(owner).items():
        value = getattr(config, name)
        if hasattr(value, "tolist"):  # a scalar of numpy, or an array, which is then refused
            value = value.tolist()
            object.__setattr__(config, name, value)
        try:
            _adapter(hint).validate_python(value, strict=True)
        except ValidationError:
            is_choice = get_origin(hint) is Literal and isinstance(value, str)
            kind = ConfigError if is_choice else ConfigTypeError
            raise kind(f"{name} must be {in_words(hint)} but got {value!r}") from None


def changed(config: Config, **values: Any) -> Config:
    """A copy of a dataclass with these values, or itself where it has them already."""
    same = all(getattr(config, name) == value for name, value in values.items())
    return config if same else replace(config, **values)  # type: ignore[type-var]


@cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint)


@cache
def hints_of(config: type) -> dict[str, Any]:
    """The fields that a dataclass is made from, and their types."""
    hints = get_type_hints(config)
    return {field.name: hints[field.name] for field in fields(config) if field.init}


def in_words(hint: Any) -> str:
    """A field's type in words: `int`, `int or None`, `one of relu, gelu`."""
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    if get_origin(hint) is collections.abc.Callable:
        return "a function"
    parts = get_args(hint) or (hint,)
    names = (", ".join(get_args(p)) if get_origin(p) is Literal else p.__name__ for p in parts)
    return " or ".join(names).replace("NoneType", "None")
