"""Is one cell better than another, by the seeds that they share?

Runs of unlike cells with one seed see the same text in the same order, so their difference is
free of what the seed did to both. Few seeds, and values that are means over a whole split: the
paired t-test, not a bootstrap, which is too narrow for so few.

Comparisons are made between all cells of a grid, though only those with the best are shown: the
best was picked by looking, and correcting for the comparisons shown alone would name a false
winner two to three times as often as it says.
"""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from scipy import stats

from bench.conclude.stats.power import detectable_effect, repeats_needed
from bench.conclude.stats.verdict import Rule, Verdict, holm, judge


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """What a change of seed alone does to a cell."""

    sd: float
    """Standard deviation over seeds within a cell, pooled; NaN where no cell has two seeds."""

    n_cells: int
    """Cells with two seeds or more, all finite, which it is pooled over."""


def noise_floor(cells: Sequence[Sequence[float]]) -> NoiseFloor:
    """The standard deviation within cells, pooled by their degrees of freedom.

    The root of Σ (nᵢ − 1) sᵢ² / Σ (nᵢ − 1), the residual of a one-way analysis of variance.
    """
    repeated = [values for values in cells if len(values) > 1 and all(map(math.isfinite, values))]
    freedom = sum(len(values) - 1 for values in repeated)
    squares = sum((len(values) - 1) * statistics.variance(values) for values in repeated)
    sd = math.sqrt(squares / freedom) if freedom else math.nan
    return NoiseFloor(sd=sd, n_cells=len(repeated))


@dataclass(frozen=True, kw_only=True)
class PairedDifferences:
    """One cell less another, seed by seed."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Seeds that both have."""
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        """NaN if no seed is shared."""
        return statistics.fmean(self.values) if self.values else math.nan

    @cached_property
    def sd(self) -> float:
        """Standard deviation of the differences; NaN for fewer than two, or one not finite."""
        if self.n < 2 or not all(map(math.isfinite, self.values)):
            return math.nan
        return statistics.stdev(self.values)

    @property
    def standard_error(self) -> float:
        """Of the mean."""
        return self.sd / math.sqrt(self.n) if self.n else math.nan

    @cached_property
    def p_value(self) -> float:
        """Two-sided, of a mean of zero, by the paired t-test (Student 1908); 1 where sd is NaN."""
        if math.isnan(self.sd):
            return 1.0
        if self.standard_error == 0:
            return float(self.mean == 0)
        return float(2 * stats.t.sf(abs(self.mean) / self.standard_error, self.n - 1))

    def interval(self, alpha: float) -> tuple[float, float]:
        """Of the mean, at level 1 − alpha, by Student's t; NaN where sd is."""
        if math.isnan(self.sd):
            return math.nan, math.nan
        half = float(stats.t.isf(alpha / 2, self.n - 1)) * self.standard_error
        return self.mean - half, self.mean + half


@dataclass(frozen=True, kw_only=True)
class CellComparison:
    """One cell of a grid against another; the differences are gains of the one."""

    differences: PairedDifferences
    p_adjusted: float
    """After Holm's correction over the grid."""

    n_comparisons: int
    """That it was corrected for."""

    floor: NoiseFloor
    rule: Rule

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Of the mean gain, at the rule's level."""
        return self.differences.interval(self.rule.level)

    @cached_property
    def verdict(self) -> Verdict:
        """What may be said of the one."""
        if self.differences.n < self.rule.min_seeds:
            return Verdict.UNDETERMINED
        return judge(self.interval, self.p_adjusted, self.floor.sd, self.rule.level)

    @cached_property
    def detectable(self) -> float:
        """The smallest true gain that as many seeds call better, with the rule's power.

        It must clear the noise floor at the rule's level, and zero at that over all comparisons:
        Holm's correction at its strictest.
        """
        n, sd = self.differences.n, self.differences.sd
        if n < self.rule.min_seeds or math.isnan(sd):
            return math.inf
        beyond_floor = detectable_effect(n, self.rule.level, self.rule.power)
        strictest = self.rule.level / self.n_comparisons
        beyond_zero = detectable_effect(n, strictest, self.rule.power)
        return max(self.floor.sd + sd * beyond_floor, sd * beyond_zero)

    @cached_property
    def seeds_needed(self) -> int | None:
        """Paired seeds that would settle it if the gain and its spread stay what they seem.

        At the next look, which has a level of its own. None where a thousand would not, or where
        there is no spread to go by.
        The floor is taken as known, so with few cells the power is a little less than the rule's.
        """
        gain, sd, floor = abs(self.differences.mean), self.differences.sd, self.floor.sd
        if math.isnan(sd) or gain == floor:
            return None
        if sd == 0:
            return self.rule.min_seeds
        level, power = self.rule.at_next_look.level, self.rule.power
        needed = [repeats_needed(abs(gain - floor) / sd, level, power)]
        if gain > floor:
            needed.append(repeats_needed(gain / sd, level / self.n_comparisons, power))
        counts = [count for count in needed if count is not None]
        return max(self.rule.min_seeds, *counts) if len(counts) == len(needed) else None


def compare_cells(
    merits: Mapping[str, Mapping[int, float]], rule: Rule
) -> dict[tuple[str, str], CellComparison]:
    """Every ordered pair of cells -> the one against the other, corrected over all pairs.

    Args:
        merits: cell -> seed -> a value that is larger where the run is better.
    """
    gains = {
        (one, other): _paired(merits[one], merits[other])
        for one, other in itertools.permutations(merits, 2)
    }
    pairs = list(itertools.combinations(merits, 2))
    p_adjusted = dict(zip(pairs, holm([gains[pair].p_value for pair in pairs]), strict=True))
    floor = noise_floor([list(values.values()) for values in merits.values()])
    return {
        (one, other): CellComparison(
            differences=differences,
            p_adjusted=p_adjusted[(one, other) if (one, other) in p_adjusted else (other, one)],
            n_comparisons=len(pairs),
            floor=floor,
            rule=rule,
        )
        for (one, other), differences in gains.items()
    }


def _paired(one: Mapping[int, float], other: Mapping[int, float]) -> PairedDifferences:
    shared = sorted(one.keys() & other.keys())
    return PairedDifferences(values=tuple(one[seed] - other[seed] for seed in shared))
