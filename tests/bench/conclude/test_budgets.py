"""Compared runs got the same, to 1%, or are refused with both numbers."""

import pytest

from bench.conclude.budgets import require_equal_budgets
from gpt.errors import ConfigError


def runs(**n_bytes: float) -> list[tuple[str, dict[str, float]]]:
    return [(name, {"n_bytes": value, "n_steps": 100}) for name, value in n_bytes.items()]


def test_rule_04_unequal_budgets_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"bytes within 1% but char had 500,000 and bpe 506,000"):
        require_equal_budgets(runs(byte=502_000, char=500_000, bpe=506_000), "bytes")


def test_rule_04_two_runs_of_one_name_are_two_runs() -> None:
    with pytest.raises(ConfigError, match=r"n_head 1 had 500,000 and n_head 1 506,000"):
        require_equal_budgets(
            [*runs(**{"n_head 1": 500_000}), *runs(**{"n_head 1": 506_000})], "bytes"
        )


@pytest.mark.parametrize("more", [0, 1_000, 5_000])
def test_rule_04_budgets_within_1_percent_are_equal(more: int) -> None:
    require_equal_budgets(runs(char=500_000, bpe=500_000 + more), "bytes")


def test_rule_04_equal_steps_are_not_equal_bytes() -> None:
    unlike = runs(char=1, bpe=2)

    require_equal_budgets(unlike, "steps")
    with pytest.raises(ConfigError):
        require_equal_budgets(unlike, "bytes")


def test_seconds_are_those_that_the_budget_counts() -> None:
    fast = {"compile_seconds": 0, "warm_up_seconds": 1, "step_seconds": 9, "data_seconds": 0.1}
    slow = {"compile_seconds": 3, "warm_up_seconds": 2, "step_seconds": 5, "data_seconds": 3}

    require_equal_budgets([("fast", fast), ("slow", slow)], "seconds")


@pytest.mark.parametrize(("unit", "message"), [("flops", "char has none"), ("hours", "got hours")])
def test_what_is_not_known_is_not_taken_for_equal(unit: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        require_equal_budgets(runs(char=1, bpe=1), unit)
