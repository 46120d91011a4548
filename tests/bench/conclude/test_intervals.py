"""Simultaneous intervals: published examples, and how often they hold."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from test_noise import GRAFTS

from bench.conclude.stats.intervals import (
    CAUTION,
    _quantiles,
    _variance,
    differences,
    studentised_range,
)
from bench.conclude.stats.noise import measure_noise

NAN = float("nan")


def test_tukey_s_interval_of_a_published_block_design() -> None:
    """Montgomery's vascular grafts: q(0.05; 4, 15) = 4.08, mean square 7.33, six batches."""
    found = differences(GRAFTS, 0.05, 4)

    assert found.gain[0, 3] == pytest.approx(92.82 - 85.77, abs=0.005)
    noise = replace(found.noise, own=np.zeros(4))  # for the book knows of no own variances
    variance, freedom = _variance(noise, found.shared)
    margin = _quantiles(0.05, 4, freedom) * np.sqrt(variance / 2)
    assert margin[0, 3] == pytest.approx(4.08 * math.sqrt(7.33 / 6), abs=0.01)


def test_two_cells_are_the_paired_t_test() -> None:
    """Whatever the seed did to both."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(0, 1, (2, 9)) + rng.normal(0, 5, 9)
    expected = stats.ttest_rel(one, other).confidence_interval(0.99)
    found = differences(np.array([one, other]), 0.01, 2)

    assert found.gain[0, 1] - found.margin[0, 1] == pytest.approx(expected.low)
    assert found.gain[0, 1] + found.margin[0, 1] == pytest.approx(expected.high)


def test_a_wild_cell_has_the_interval_of_welch() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0, np.array([[40.0], [50.0], *[[1.0]] * 8]), (10, 6))
    found = differences(values, 0.01, 2)

    expected = stats.ttest_ind(*values[:2], equal_var=False)
    half = stats.t.isf(0.005, math.floor(expected.df)) * found.error[0, 1]
    assert found.noise.wild.tolist() == [True] * 2 + [False] * 8
    assert found.gain[0, 1] / found.error[0, 1] == pytest.approx(expected.statistic)
    assert found.margin[0, 1] == pytest.approx(half)


def test_without_evidence_there_is_no_interval() -> None:
    alone = differences(np.array([[1.0], [2.0]]), 0.01, 2)
    assert alone.gain[0, 1] == -1
    assert alone.margin[0, 1] == math.inf
    two = differences(np.array([[1.0, 1.1], [2.0, 2.3]]), 0.01, 2)
    assert two.margin[0, 1] == math.inf  # one degree of freedom
    unlike = differences(np.array([[1.0, 1.1, NAN], [2.0, NAN, 2.2], [3.0, 3.1, 3.3]]), 0.01, 3)
    assert unlike.shared[0, 1] == 1
    assert unlike.margin[0, 1] == math.inf
    assert differences(GRAFTS, 0.0, 4).margin[0, 1] == math.inf


def test_few_seeds_have_wider_intervals_for_unequal_spreads_can_t_be_seen() -> None:
    for n_seeds in range(2, 7):
        values = GRAFTS[:, :n_seeds]
        noise = measure_noise(values)
        of_runs = np.fmax(noise.own, noise.pooled)
        expected = (of_runs[:, None] + of_runs) * CAUTION.get(n_seeds, 1.0) / n_seeds
        assert differences(values, 0.01, 4).error ** 2 == pytest.approx(expected)
    assert list(CAUTION.values()) == sorted(CAUTION.values(), reverse=True)


def test_the_studentised_range_is_that_of_the_tables() -> None:
    """Of Harter's table (1960), as textbooks print it: 10 means, 20 degrees of freedom."""
    assert studentised_range(0.05, 10, 20) == pytest.approx(5.01, abs=0.005)
    assert studentised_range(0.01, 4, 12) == pytest.approx(5.50, abs=0.005)
    assert studentised_range(0.01, 2, 12) == pytest.approx(4.32, abs=0.005)
