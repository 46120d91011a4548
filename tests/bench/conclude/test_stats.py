"""Verdicts from seeds, held to published numbers, to scipy and to statsmodels."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from bench.conclude.stats import (
    CellComparison,
    NoiseFloor,
    PairedDifferences,
    Rule,
    Verdict,
    compare_cells,
    detectable_effect,
    holm,
    judge,
    noise_floor,
    power_of_t,
    repeats_needed,
)
from gpt.errors import ConfigError

SLEEP = ((0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0),
         (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4))  # fmt: skip
"""Hours of sleep gained by two drugs (Student 1908)."""


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def compare(one: list[float], other: list[float]) -> CellComparison:
    merits = {"one": by_seed(*one), "other": by_seed(*other)}
    return compare_cells(merits, Rule())["one", "other"]


def test_paired_differences_of_students_sleep_data() -> None:
    differences = PairedDifferences(values=tuple(a - b for a, b in zip(*SLEEP, strict=True)))

    assert differences.mean == pytest.approx(-1.58)
    assert differences.mean / differences.standard_error == pytest.approx(-4.0621, abs=1e-4)
    assert differences.p_value == pytest.approx(0.002833, abs=1e-6)
    assert differences.p_value == pytest.approx(stats.ttest_rel(*SLEEP).pvalue)
    assert differences.interval(0.05) == pytest.approx((-2.4598858, -0.7001142), abs=1e-7)


def test_cells_are_paired_by_the_seeds_that_they_share() -> None:
    merits = {"a": {0: 1.0, 2: 3.0, 5: 7.0}, "b": {5: 1.0, 1: 100.0, 0: 0.5}}

    comparisons = compare_cells(merits, Rule())

    assert comparisons["a", "b"].differences.values == (0.5, 6.0)
    assert comparisons["b", "a"].differences.values == (-0.5, -6.0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_is_that_of_statsmodels() -> None:
    p_values = np.random.default_rng(0).random(20) ** 3

    assert holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_noise_floor_is_the_residual_of_an_analysis_of_variance() -> None:
    # Variances 1 (3 seeds) and 8 (2 seeds): (2·1 + 1·8) / 3.
    floor = noise_floor([[1.0, 2.0, 3.0], [0.0, 4.0], [9.0], [math.inf, 1.0]])

    assert floor == NoiseFloor(sd=math.sqrt(10 / 3), n_cells=2)
    assert math.isnan(noise_floor([[1.0], [2.0]]).sd)


@pytest.mark.parametrize(("effect", "n", "alpha"), [(1.5, 5, 0.05), (3, 5, 0.01), (0.5, 30, 0.01)])
def test_power_is_that_of_statsmodels_where_it_has_one(
    effect: float, n: int, alpha: float
) -> None:
    assert power_of_t(effect, n, alpha) == pytest.approx(
        TTestPower().power(effect, n, alpha), abs=1e-4
    )


def test_power_agrees_with_a_simulation_where_statsmodels_has_none() -> None:
    effect = detectable_effect(3, 0.01, 0.9)
    samples = np.random.default_rng(0).normal(effect, 1, (20_000, 3))

    found = stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.01

    assert effect == pytest.approx(8.76, abs=0.01)
    assert found.mean() == pytest.approx(0.9, abs=0.01)


def test_repeats_needed_are_the_fewest_that_detect() -> None:
    needed = repeats_needed(1.0, 0.01, 0.9)

    assert needed == 19  # statsmodels: 0.893 with 18, 0.915 with 19
    assert detectable_effect(19, 0.01, 0.9) <= 1.0 < detectable_effect(18, 0.01, 0.9)
    assert repeats_needed(0.01, 0.01, 0.9) is None
    assert detectable_effect(1, 0.01, 0.9) == math.inf


@pytest.mark.parametrize(
    ("interval", "p_value", "verdict"),
    [
        ((0.11, 0.30), 0.001, "better"),
        ((-0.30, -0.11), 0.001, "worse"),
        ((0.11, 0.30), 0.02, "undetermined"),  # many comparisons, one of them lucky
        ((0.09, 0.30), 0.001, "undetermined"),  # it may be less than the noise
        ((-0.10, 0.10), 0.9, "tie"),
        ((0.01, 0.05), 0.001, "tie"),  # a difference for sure, and too small to matter
        ((-0.11, 0.10), 0.9, "undetermined"),
        ((math.nan, math.nan), 0.001, "undetermined"),
    ],
)
def test_rule_09_no_winner_without_evidence(
    interval: tuple[float, float], p_value: float, verdict: str
) -> None:
    assert judge(interval, p_value, noise_floor=0.1, alpha=0.01) == verdict


GOOD = [2.0, 2.1, 1.9, 2.05, 1.95, 2.0]
BAD = [1.0, 1.08, 0.91, 1.06, 0.94, 1.01]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4])
def test_rule_09_no_winner_without_evidence_of_five_seeds(n: int) -> None:
    comparison = compare(GOOD[:n], BAD[:n])

    assert comparison.verdict is Verdict.UNDETERMINED
    assert comparison.detectable == math.inf
    assert compare(GOOD[:n], GOOD[:n]).verdict is Verdict.UNDETERMINED


def test_rule_09_five_seeds_apart_make_a_winner_and_a_loser() -> None:
    assert compare(GOOD[:5], BAD[:5]).verdict is Verdict.BETTER
    assert compare(BAD[:5], GOOD[:5]).verdict is Verdict.WORSE


def test_rule_09_no_winner_without_evidence_for_the_whole_grid() -> None:
    """What makes a winner of two cells makes none of many: it was bound to happen somewhere."""
    rng = np.random.default_rng(0)
    pair = {
        "one": by_seed(1.1, 1.3, 1.2, 1.15, 1.38),
        "other": by_seed(1.0, 1.08, 0.9, 1.07, 0.95),
    }
    grid = pair | {str(i): by_seed(*rng.normal(1, 0.1, 5)) for i in range(8)}

    alone = compare_cells(pair, Rule(alpha=0.05))["one", "other"]
    among = compare_cells(grid, Rule(alpha=0.05))["one", "other"]

    assert alone.p_adjusted < 0.05 < among.p_adjusted
    assert among.n_comparisons == 45


def test_a_tie_takes_evidence_too() -> None:
    shared = np.random.default_rng(0).normal(0, 0.1, 8)  # what the seed does to both

    assert compare([*shared], [*shared]).verdict is Verdict.TIE
    assert compare([*shared], [*-shared]).verdict is Verdict.UNDETERMINED


def test_a_run_that_never_got_there_decides_nothing() -> None:
    assert compare(GOOD[:5], [*BAD[:4], -math.inf]).verdict is Verdict.UNDETERMINED


def test_as_many_seeds_as_are_said_to_be_needed_settle_it() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(0, 0.1, 6)
    first = compare([*common + 0.15], [*common + rng.normal(0, 0.1, 6)])
    needed = first.seeds_needed
    assert first.verdict is Verdict.UNDETERMINED
    assert needed is not None
    assert 6 < needed < 100

    gain, sd, floor = first.differences.mean, first.differences.sd, first.floor.sd
    settled = 0
    for _ in range(100):  # two cells as noisy as these, and as alike
        common = rng.normal(0, math.sqrt(floor**2 - sd**2 / 2), needed)
        one, other = common + rng.normal(0, sd / math.sqrt(2), (2, needed))
        settled += compare([*one + gain], [*other]).verdict is Verdict.BETTER

    assert settled >= 80


def test_rule_10_a_a_gives_at_most_5_in_100() -> None:
    """Ten cells of one kind, their best against the others: the best is picked, and looks it."""
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(100):
        seeds = rng.normal(0, 1, 5)
        merits = {str(i): by_seed(*seeds + rng.normal(0, 1, 5)) for i in range(10)}
        best = max(merits, key=lambda cell: sum(merits[cell].values()))
        comparisons = compare_cells(merits, Rule())
        false += any(c.p_adjusted < 0.01 for (one, _), c in comparisons.items() if one == best)

    assert false <= 5


def test_a_gain_said_to_be_detectable_is_detected() -> None:
    rng = np.random.default_rng(0)
    step = math.sqrt(2 * 9 / 10)  # so that ten differences have a variance of 2, as two runs' do
    expected = CellComparison(
        differences=PairedDifferences(values=(step, -step) * 5),
        p_adjusted=1.0,
        n_comparisons=1,
        floor=NoiseFloor(sd=1.0, n_cells=2),
        rule=Rule(),
    )
    found = 0
    for _ in range(100):
        one, other = rng.normal(0, 1, (2, 10))
        found += compare([*one + expected.detectable], [*other]).verdict is Verdict.BETTER

    assert found >= 80


def test_what_would_be_found_is_found_among_all_comparisons() -> None:
    """Without a noise floor only zero must be cleared, by Holm's first step."""
    comparison = CellComparison(
        differences=PairedDifferences(values=(0.5, 1.5) * 5),
        p_adjusted=1.0,
        n_comparisons=45,
        floor=NoiseFloor(sd=0.0, n_cells=10),
        rule=Rule(alpha=0.01),
    )
    sd = comparison.differences.sd
    among, alone = (repeats_needed(1.0 / sd, alpha, 0.9) for alpha in (0.01 / 45, 0.01))

    assert comparison.detectable == pytest.approx(sd * detectable_effect(10, 0.01 / 45, 0.9))
    assert comparison.seeds_needed == among != alone


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.0}, {"alpha": 1.0}, {"power": 2}, {"min_seeds": 1}, {"look": -1}]
)
def test_a_rule_that_decides_by_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        Rule(**wrong)
