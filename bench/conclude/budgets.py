"""Did the compared runs get the same? By what they spent, not by what they were promised."""

from collections.abc import Iterable, Mapping

from gpt.errors import ConfigError
from gpt.training.clock import BUDGETED

TOLERANCE = 0.01
"""Compared runs match within this share of the smaller one's budget."""

SPENT = {
    "steps": ("n_steps",),
    "tokens": ("n_tokens",),
    "bytes": ("n_bytes",),
    "flops": ("n_flops",),
    "seconds": tuple(f"{bucket}_seconds" for bucket in BUDGETED),
}
"""A budget's unit -> the numbers of a run's summary whose sum says how much of it was spent."""


def require_equal_budgets(runs: Iterable[tuple[str, Mapping[str, float]]], unit: str) -> None:
    """Refuse to compare runs that spent unlike amounts.

    Args:
        runs: of each complete run its name, for people, and its summary
            (`bench.run.worker.summarize`). Two runs may have one name.
        unit: steps, tokens, bytes, flops or seconds.

    Raises:
        ConfigError: two runs differ by more than 1% in it, or a run doesn't say what it spent.
    """
    if unit not in SPENT:
        raise ConfigError(f"a budget's unit must be one of {', '.join(SPENT)} but got {unit}")
    runs = list(runs)
    silent = [name for name, run in runs if not all(part in run for part in SPENT[unit])]
    if silent:
        raise ConfigError(f"compared runs must record their {unit} but {silent[0]} has none")
    spent = sorted((sum(run[part] for part in SPENT[unit]), name) for name, run in runs)
    (least, lean), (most, rich) = spent[0], spent[-1]
    if most > least * (1 + TOLERANCE):
        raise ConfigError(
            f"compared runs must match in {unit} within {TOLERANCE:.0%} but {lean} had "
            f"{least:,.6g} and {rich} {most:,.6g}"
        )
