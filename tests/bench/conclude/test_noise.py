"""The noise of a grid: one model of all runs, and cells with a spread of their own."""

import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS

from bench.conclude.stats.noise import Values, measure_noise

NAN = float("nan")


GRAFTS = np.array([
    [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
    [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
    [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
    [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
])  # fmt: skip
"""Yield of vascular grafts by pressure and batch of resin: a randomised block design that
textbooks print (Montgomery, Design and Analysis of Experiments, example 4.1)."""


def test_it_is_that_of_a_published_block_design() -> None:
    noise = measure_noise(GRAFTS)

    assert noise.pooled == pytest.approx(7.33, abs=0.005)
    assert noise.freedom == 15


def model_of(values: Values) -> tuple[float, int]:
    """Mean square and degrees of freedom of the residual, by the whole model at once."""
    cell, seed = np.nonzero(np.isfinite(values))
    design = np.hstack([np.eye(len(values))[cell], np.eye(values.shape[1])[seed][:, 1:]])
    fit = OLS(values[cell, seed], design).fit()
    return float(fit.mse_resid), int(fit.df_resid)


@pytest.mark.parametrize("missing", [0, 7])
def test_it_is_that_of_statsmodels_with_missing_runs_too(missing: int) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (6, 5)) + rng.normal(0, 3, 5) + rng.normal(0, 9, (6, 1))
    for place in rng.choice(values.size, missing, replace=False):
        values.flat[place] = NAN

    noise = measure_noise(values)

    expected, freedom = model_of(values)
    assert noise.pooled == pytest.approx(expected)
    assert noise.freedom == freedom
    assert not noise.wild.any()


def test_what_a_seed_does_to_all_cells_is_no_noise() -> None:
    shared = np.array([0.0, 10.0, -7.0, 3.0])
    noise = np.random.default_rng(0).normal(0, 0.1, (10, 4))

    found, alone = measure_noise(noise + shared), measure_noise(noise)
    assert found.pooled == pytest.approx(alone.pooled)
    assert found.own.mean() == pytest.approx(alone.own.mean(), rel=0.3)


def test_all_cells_tell_of_the_noise_those_that_were_dropped_too() -> None:
    values = np.random.default_rng(0).normal(0, 1, (4, 8))
    values[2:, 2:] = NAN  # dropped after two seeds

    assert measure_noise(values).freedom == measure_noise(values[:2]).freedom + 2


@pytest.mark.parametrize("n_wild", [0, 1, 3])
def test_a_cell_with_a_spread_of_its_own_is_out_of_the_pool(n_wild: int) -> None:
    rng = np.random.default_rng(2)
    spreads = np.array([30.0] * n_wild + [1.0] * (10 - n_wild))
    noise = measure_noise(rng.normal(0, spreads[:, None], (10, 5)))

    assert noise.wild.tolist() == [True] * n_wild + [False] * (10 - n_wild)
    assert noise.pooled == pytest.approx(1.0, rel=0.6)
    assert noise.own_freedom.tolist() == [4] * 10


def test_equal_spreads_are_seldom_taken_for_unequal_ones() -> None:
    rng = np.random.default_rng(3)
    found = sum(measure_noise(rng.normal(0, 1, (10, 5))).wild.any() for _ in range(300))

    assert found <= 0.03 * 300


def test_one_run_a_cell_shows_no_noise() -> None:
    noise = measure_noise(np.array([[1.0], [2.0], [5.0]]))

    assert noise.freedom == 0
    assert np.isnan(noise.pooled)
    assert np.isnan(noise.own).all()


def test_a_cell_alone_has_its_own_variance() -> None:
    noise = measure_noise(np.array([[1.0, 2.0, 6.0]]))

    assert (noise.pooled, noise.freedom) == (7.0, 2)
