"""The rule's operating characteristics, in small: `python -m bench.power` shows them at length."""

import pytest
from click.testing import CliRunner

from bench.conclude import power
from bench.conclude.power import TRUTHS, Operation, Truth, operate
from bench.conclude.stats import Rule, noise
from bench.power import main

pytestmark = pytest.mark.slow

BY_NAME = {truth.name: truth for truth in TRUTHS}
GRIDS = 60


def of(name: str, n_grids: int = GRIDS) -> Operation:
    return operate(BY_NAME[name], n_grids)


def test_the_best_of_the_real_sweep_is_found_in_a_third_of_the_runs() -> None:
    found = of("the gaps of tokenizer_sweep")

    assert found.settled == 1.0
    assert found.false == 0.0
    assert found.n_runs < 35 < found.most_runs == 120


def test_a_runner_up_three_deviations_behind_is_told_apart_and_one_at_half_of_that_is_not() -> (
    None
):
    assert of("runner-up 3 SD behind").settled >= 0.8
    close = of("runner-up 1.5 SD behind")
    assert close.settled <= 0.15
    assert close.n_runs < 50  # it is given up, for twelve seeds would not tell


@pytest.mark.parametrize(
    "name", [truth.name for truth in TRUTHS if truth.matters == power.ANYTHING]
)
def test_rule_10_where_there_is_nothing_to_find_hardly_anything_is_found(name: str) -> None:
    assert of(name).false <= 0.05
    assert of(name).settled <= 0.05


def test_a_wild_cell_hides_nothing() -> None:
    assert of("a cell with 30 times the spread").settled >= 0.93


def test_ties_are_called_ties_in_less_than_half_of_the_runs() -> None:
    tied = of("four within a quarter of what matters")

    assert tied.tied >= 0.9
    assert tied.n_runs < tied.most_runs / 2
    assert tied.settled == 0


def test_a_wild_cell_in_the_pool_would_hide_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutation: no cell is ever left out of the pool."""
    monkeypatch.setattr(noise, "WILD_P", 0.0)

    assert of("a cell with 30 times the spread").settled < 0.5


def test_looks_that_are_not_counted_find_what_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutation: each look spends all of alpha, here of a larger one."""
    truth = Truth(name="", means=[2.0] * 3, sds=[0.01] * 3, matters=power.ANYTHING)
    monkeypatch.setattr(power, "Rule", lambda **given: Rule(alpha=0.3, **given))
    paid = operate(truth, 150).false
    monkeypatch.setattr(power, "share_of_look", lambda *_: 1.0)

    assert paid <= 0.3
    assert operate(truth, 150).false > 0.3


def test_its_table_is_printed() -> None:
    result = CliRunner().invoke(main, ["--grids", "1"])

    assert result.exit_code == 0
    for truth in TRUTHS:
        assert truth.name in result.stdout
    assert "of 120" in result.stdout
