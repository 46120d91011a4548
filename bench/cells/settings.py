"""Which fields may `--set` fix for all cells? Settings are parsed, and misleading ones refused.

A study varies some fields and leaves the others to `--set`. A setting that fixes a varied field,
or takes away its effect, would give cells whose names are wrong. A setting that no cell uses would
change nothing. All of these are refused, and the message names the fields.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from gpt.config import Budget, RunConfig
from gpt.config.run import field_name, tidy
from gpt.errors import ConfigError

UNITS = [unit.name for unit in fields(Budget)]


def parse_settings(settings: Iterable[str], option: str = "--set") -> dict[str, str]:
    """`("n_head=2", "dropout=0.1")` as a dict.

    Raises:
        ConfigError: one is not KEY=VALUE, or a key is given twice.
    """
    parsed: dict[str, str] = {}
    for setting in settings:
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not (key and equals and value):
            raise ConfigError(f"{option} takes KEY=VALUE but got {setting!r}")
        if key in parsed:
            raise ConfigError(
                f"{option} takes each key once but got {key}={parsed[key]} and {setting}"
            )
        parsed[key] = value
    return parsed


def parse_budgets(budgets: Iterable[str]) -> list[dict[str, str]]:
    """`("bytes=500_000", "flops=4e11")` as a setting each; raises `ConfigError` on all else."""
    parsed = parse_settings(budgets, "--budget")
    for unit in parsed:
        if unit not in UNITS:
            raise ConfigError(f"--budget takes one of {', '.join(UNITS)} but got {unit!r}")
    return [tidy({unit: amount}) for unit, amount in parsed.items()]


def settle(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings in their tidy form (`gpt.config.run.tidy`).

    Raises:
        ConfigError: one is unknown or of another type, or is not a command's to fix.
    """
    tidied = tidy(settings)
    if "seed" in tidied:
        raise ConfigError(
            f"--set can't fix the seed but got seed={tidied['seed']}: the runs of a cell differ "
            "in it; --seeds N says how many, from the study's first_seed on"
        )
    return tidied


def refuse_misleading(settings: Mapping[str, str], configs: Sequence[RunConfig]) -> None:
    """Refuse settings under which cells are not what a study or a command says.

    Args:
        configs: of the study's points, as its `cell` makes them.

    Raises:
        ConfigError: a setting fixes what they vary, leaves it without effect, or no cell uses it.
    """
    if not (settings and configs):
        return
    named = {field_name(key): key for key in settings}
    flats = [config.flat() for config in configs]
    for name, key in named.items():
        if len(values := _values(name, flats)) > 1:
            raise ConfigError(
                f"--set can't fix what the study varies but got {key} (it takes {_some(values)})"
            )
    before = [config.canonical().flat() for config in configs]
    varied = {name: values for name in before[0] if len(values := _values(name, before)) > 1}
    used: set[str] = set()
    n_valid = 0
    for config, flat in zip(configs, before, strict=True):
        try:
            given = config.override(settings)
        except ConfigError:
            continue  # the settings make this point invalid: it is dropped, and listed
        after = given.canonical().flat()
        for name, values in varied.items():
            if after[name] != flat[name]:
                raise ConfigError(
                    f"--set {_culprit(settings, config, name)} would leave {name} without effect, "
                    f"which the study varies (it takes {_some(values)})"
                )
        typed = given.flat()
        used |= {name for name in named if after[name] == typed[name]}
        n_valid += 1
    for name in named.keys() - used if n_valid else ():
        raise ConfigError(
            f"--set {_typed(settings, named[name])} would change nothing: no cell uses "
            f"{named[name]}, given what else the study sets"
        )


def _values(name: str, flats: Iterable[Mapping[str, Any]]) -> list[str]:
    """The values of a field as text: numbers in order, then the others."""
    values = {repr(flat[name]): flat[name] for flat in flats}
    numbers = [text for text, value in values.items() if isinstance(value, int | float)]
    return sorted(numbers, key=values.__getitem__) + sorted(values.keys() - set(numbers))


def _culprit(settings: Mapping[str, str], config: RunConfig, name: str) -> str:
    """The setting that takes a field's effect away: the first that does so alone, or else all."""
    for key in settings:
        try:
            alone = config.override({key: settings[key]}).canonical().flat()
        except ConfigError:
            continue
        if alone[name] != config.canonical().flat()[name]:
            return _typed(settings, key)
    return " --set ".join(_typed(settings, key) for key in settings)


def _typed(settings: Mapping[str, str], key: str) -> str:
    return f"{key}={settings[key]}"


def _some(values: Sequence[str]) -> str:
    return ", ".join(values[:8]) + (", …" if len(values) > 8 else "")
