"""By how much do cells differ? Simultaneous intervals for all pairs of a grid.

Tukey's studentised range with the pooled noise, so that the chance that any of the intervals
misses is the level's; where a cell's spread is larger than the pooled one, its own with the
degrees of freedom of that pair alone (Games and Howell 1976).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.conclude.stats.noise import Noise, Values, measure_noise

FEWEST_SHARED = 2
"""Seeds that two cells must share for a difference to have an interval."""

FEWEST_FREEDOM = 3
"""Degrees of freedom that the pooled noise must have."""

CAUTION = {2: 9.0, 3: 4.0, 4: 1.5}
"""Seeds that two cells share -> by which factor their variance is taken for larger, for with so
few, unequal spreads can't be seen."""

LEAST_CAUTIOUS = 4
"""With fewer seeds, the degrees of freedom of a cell's own variance don't count."""


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Every cell's mean gain over every other; entry [i, j] is that of the i-th over the j-th."""

    gain: NDArray[np.float64]
    """(cells, cells): over the seeds that both have; NaN where they share none."""

    margin: NDArray[np.float64]
    """(cells, cells): half the width of the interval; infinite where there is no evidence."""

    error: NDArray[np.float64]
    """(cells, cells): standard error of the gain."""

    shared: NDArray[np.int64]
    """(cells, cells): seeds that both have."""

    noise: Noise

    def __post_init__(self) -> None:
        np.fill_diagonal(self.margin, np.inf)


def differences(values: Values, level: float, n_cells: int) -> Differences:
    """All pairs of cells, with intervals that hold together with a chance of 1 − `level`.

    Args:
        values: (cells, seeds), NaN where there is no run.
        level: chance that any interval misses; 0 gives infinite ones.
        n_cells: that are compared; more of them make it likelier that some interval misses.
    """
    noise = measure_noise(values)
    there = np.isfinite(values)
    given, counted = np.nan_to_num(values), there.astype(float)
    shared = (counted @ counted.T).astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = (given @ counted.T - counted @ given.T) / shared
        variance, freedom = _variance(noise, shared)
        error = np.sqrt(variance)
        margin = _quantiles(level, n_cells, freedom) * error / math.sqrt(2)
    margin[~np.isfinite(margin) | (shared < FEWEST_SHARED)] = np.inf
    return Differences(gain=gain, margin=margin, error=error, shared=shared, noise=noise)


def _variance(
    noise: Noise, shared: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(cells, cells) each: the variance of a mean gain, and its degrees of freedom.

    A cell has the pooled variance, or its own if that is larger. The freedom is that of Welch and
    Satterthwaite, but for wild cells not more than the pool's; with so few seeds that the variance
    is taken for larger anyway, the pool's.
    """
    pool = noise.pooled if noise.freedom >= FEWEST_FREEDOM else np.inf
    own = noise.wild | (noise.own > pool * (1 + 1e-9))  # beyond rounding
    runs = np.where(own, noise.own, pool)
    terms = runs**2 / np.where(own, noise.own_freedom, noise.freedom)
    sums, both = runs[:, None] + runs, terms[:, None] + terms
    welch = np.where(both > 0, np.floor(sums**2 / both), np.inf)
    wild = noise.wild[:, None] | noise.wild
    few = shared < LEAST_CAUTIOUS
    freedom = np.where(wild, welch, np.where(few, noise.freedom, np.fmin(welch, noise.freedom)))
    usable = np.isfinite(sums) & np.isfinite(freedom)
    variance = np.where(usable, sums, np.inf) / shared
    for n_seeds, factor in CAUTION.items():
        variance[shared == n_seeds] *= factor
    return variance, np.where(usable, freedom, 1).astype(np.int64)


def _quantiles(level: float, n_cells: int, freedom: NDArray[np.int64]) -> NDArray[np.float64]:
    """The studentised range for each of these degrees of freedom."""
    values, places = np.unique(freedom, return_inverse=True)
    found = np.array([studentised_range(level, n_cells, int(value)) for value in values])
    return found[places].reshape(freedom.shape)


@lru_cache(maxsize=4096)
def studentised_range(level: float, n_cells: int, freedom: int) -> float:
    """What the studentised range of `n_cells` means exceeds with a chance of `level`."""
    if level <= 0 or freedom < 1:
        return math.inf
    if n_cells == 2:  # the same, exactly and at once
        return float(math.sqrt(2) * stats.t.isf(level / 2, freedom))
    return float(stats.studentized_range.isf(level, n_cells, freedom))
