"""The checks that configs share: each names the field, the rule and the value it got."""

import collections.abc
import math
import types
from dataclasses import replace
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gpt.errors import ConfigError, ConfigTypeError

Config = TypeVar("Config")


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


def field_types(config: Any) -> None:
    """Check that each field of a new dataclass has its own type, for its type is part of the key.

    No type is taken for another: 1 is no bool, True no int and 5.0 no int. A whole number is taken
    for a float, and what numpy made becomes Python's own, so that JSON gives the same config back.

    Raises:
        ConfigTypeError: a field has a value of another type.
        ConfigError: a field with a `Literal` type is none of its choices.
    """
    kind: type = type(config)
    for name, hint, exact in _exact_types(kind):
        value = getattr(config, name)
        if type(value) in exact:
            continue
        if hasattr(value, "tolist"):  # a scalar of numpy, or an array, which is then refused
            value = value.tolist()
            object.__setattr__(config, name, value)
        if not _fits(value, hint):
            raise ConfigTypeError(f"{name} must be {in_words(hint)} but got {value!r}")
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise ConfigError(f"{name} must be {in_words(hint)} but got {value!r}")


def changed(config: Config, **values: Any) -> Config:
    """A copy of a dataclass with these values, or itself where it has them already."""
    same = all(getattr(config, name) == value for name, value in values.items())
    return config if same else replace(config, **values)  # type: ignore[type-var]


@cache
def _exact_types(config: type) -> list[tuple[str, Any, frozenset[type]]]:
    """Of each field its name, its type, and the types of which every value fits."""
    return [
        (name, hint, frozenset().union(*map(_alike, get_args(hint) or [hint])))
        for name, hint in hints_of(config).items()
    ]


def _alike(hint: Any) -> set[type]:
    if hint is float:
        return {float, int}
    return {hint} if isinstance(hint, type) else set()


@cache
def hints_of(config: type) -> dict[str, Any]:
    """A dataclass's fields and their types."""
    return get_type_hints(config)


def in_words(hint: Any) -> str:
    """A field's type in words: `int`, `int or None`, `one of relu, gelu`."""
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    if get_origin(hint) is collections.abc.Callable:
        return "a function"
    names = (part.__name__ for part in get_args(hint) or (hint,))
    return " or ".join(names).replace("NoneType", "None")


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if origin is Literal:
        return type(value) is str
    if origin is collections.abc.Callable:
        return callable(value)
    if hint in (int, str, bool, float):
        return type(value) in _alike(hint)
    return isinstance(value, origin or hint)
