"""How much do runs of one cell differ? One model of the whole grid: value = cell + seed + noise.

The nine cells that nobody asks about know as much of the noise as the one that leads, so all are
pooled, and what a seed did to all of them alike is taken out. A cell whose spread is clearly
larger is left out of the pool, or it would hide every difference.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

MOST_WILD = 3
"""Cells that may be left out of the pool."""

WILD_P = 0.01
"""A cell is left out if an F test of its variance has a p-value below this over the cells."""

SEEDS_P = 0.01
"""Seeds count for the cells' own variances if an F test of their effects has one below this."""

Values = NDArray[np.float64]
"""(cells, seeds): what each run is worth; NaN where there is none."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The variance of one run."""

    pooled: float
    """Residual variance of the model, over all cells but the wild ones; NaN without freedom."""

    freedom: int
    """Degrees of freedom of `pooled`."""

    own: NDArray[np.float64]
    """(cells,): each cell's variance over its seeds; NaN for fewer than two."""

    own_freedom: NDArray[np.int64]
    """(cells,): degrees of freedom of `own`."""

    wild: NDArray[np.bool_]
    """(cells,): whose variance is larger than that of the others."""


def measure_noise(values: Values) -> Noise:
    """Fit the model by least squares, after setting aside the cells with too large a spread."""
    freedom = np.maximum(np.isfinite(values).sum(axis=1) - 1, 0)
    repeated = freedom > 0
    wild = np.zeros(len(values), dtype=bool)
    while True:
        fit = _fit(values[repeated & ~wild])
        own = np.full(len(values), np.nan)
        own[repeated] = np.nanvar(values[repeated] - fit.seeds, axis=1, ddof=1) / fit.kept
        found = _wildest(np.nan_to_num(own), freedom, wild)
        if found is None or wild.sum() == MOST_WILD:
            return Noise(
                pooled=fit.variance, freedom=fit.freedom, own=own, own_freedom=freedom, wild=wild
            )
        wild[found] = True


def _wildest(
    variances: NDArray[np.float64], freedom: NDArray[np.int64], wild: NDArray[np.bool_]
) -> int | None:
    """The cell of the pool with the largest variance, if that is larger than that of the rest."""
    squares = np.where(wild, 0.0, variances * freedom)
    others = np.where(wild, 0, freedom).sum() - freedom
    tested = ~wild & (freedom > 0) & (others > 0) & (variances > 0)
    if not tested.any():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(tested, variances * others / (squares.sum() - squares), 0.0)
    largest = int(ratios.argmax())
    p_value = stats.f.sf(ratios[largest], freedom[largest], others[largest])
    return largest if p_value < WILD_P / len(wild) else None


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """Least squares of value = cell + seed."""

    variance: float
    freedom: int
    seeds: NDArray[np.float64]
    """(seeds,): their effects, where they are shown to be there; else zeros."""

    kept: float
    """The share of a cell's variance that taking out these effects leaves."""


def _fit(values: Values) -> _Fit:
    """Of cells with two runs or more.

    Cells are projected out of both sides (Frisch and Waugh 1933), so that what is left to solve
    has a column a seed, however many cells there are.
    """
    n_cells, n_seeds = values.shape
    cell, seed = np.nonzero(np.isfinite(values))
    given = np.column_stack([values[cell, seed], np.eye(n_seeds)[seed]])  # (runs, 1 + seeds)
    sums = np.zeros((n_cells, 1 + n_seeds))
    np.add.at(sums, cell, given)
    given -= (sums / np.bincount(cell, minlength=n_cells)[:, None])[cell]
    target, columns = given[:, 0], given[:, 1:]
    none = np.zeros(n_seeds)
    if n_cells < 2:  # the seeds would explain all of it
        freedom = max(len(cell) - n_cells, 0)
        variance = float(target @ target) / freedom if freedom else np.nan
        return _Fit(variance=variance, freedom=freedom, seeds=none, kept=1.0)
    effects, _, rank, _ = np.linalg.lstsq(columns, target, rcond=1e-10)
    freedom = len(cell) - n_cells - int(rank)
    if freedom < 1:
        return _Fit(variance=np.nan, freedom=0, seeds=none, kept=1.0)
    left = float(np.square(target - columns @ effects).sum())
    variance = left / freedom
    ratio = (float(target @ target) - left) / rank / variance if variance > 0 else np.inf
    if stats.f.sf(ratio, rank, freedom) >= SEEDS_P:
        return _Fit(variance=variance, freedom=freedom, seeds=none, kept=1.0)
    kept = 1 - 1 / np.bincount(seed, minlength=n_seeds).clip(min=2)
    return _Fit(
        variance=variance,
        freedom=freedom,
        seeds=np.asarray(effects, np.float64),
        kept=float(kept.mean()),
    )
