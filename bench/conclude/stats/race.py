"""Which cells are still in the race? The looks at a grid in their order, each with its verdicts.

At each look, a cell that another one beats leaves the race and needs no further seed. A verdict
once given stands, and chains count: what beats a cell that beats a third one beats the third one
too. What the looks saw is kept, so that the same verdicts come out of the same runs whenever they
are asked for.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bench.conclude.stats.intervals import (
    FEWEST_FREEDOM,
    Differences,
    differences,
    studentised_range,
)
from bench.conclude.stats.noise import Noise, Values
from bench.conclude.stats.spending import LOOKS, share_of_next
from bench.conclude.stats.verdict import Rule, Verdict

HOPE_SEEDS = 4
"""With fewer seeds, no race is given up."""

NINE_OF_TEN = 1.2816
"""Nine of ten draws of a normal distribution lie below its mean and so many deviations."""

Merits = Mapping[str, Mapping[int, float]]
"""Cell -> seed -> what its run is worth: larger is better."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen at one look."""

    n_seeds: int
    """Of each cell that was in the race then."""

    share: float
    """Of alpha, which it spent."""

    runs: Mapping[str, Sequence[int]]
    """Cell -> the seeds of its complete runs."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How far one cell is ahead of another."""

    mean: float
    """Over the seeds that both have."""

    interval: tuple[float, float]
    """Of the true mean gain; infinite where there is no evidence for one."""

    error: float
    """Its standard error; NaN or infinite where there is no evidence for one."""

    detectable: float
    """The smallest true gain that as many seeds show in nine of ten studies."""

    n: int
    """Seeds that both have."""

    verdict: Verdict
    """Of the one."""

    @property
    def margin(self) -> float:
        """Half the width of the interval."""
        return (self.interval[1] - self.interval[0]) / 2


class Race:
    """The state of a race after its looks.

    Args:
        merits: of the cells that may be ranked. Others, such as those of which a run diverged,
            must not be in it; what looks saw of them is passed over.
        looks: in their order.
    """

    def __init__(self, merits: Merits, looks: Sequence[Look], rule: Rule) -> None:
        self.rule = rule
        self.dropped: dict[str, int] = {}
        """Cell that another one beats -> the seeds after which it was dropped."""

        self.noise: Noise | None = None
        """At the latest look."""

        self.merits = merits
        self._looks = looks
        self._cells = list(merits)
        now = differences(_table(merits, self._cells), 0.0, len(merits))
        self._gain, self._error, self._shared = now.gain, now.error, now.shared
        self._low = np.full(now.gain.shape, -np.inf)
        np.fill_diagonal(self._low, 0.0)
        self._beats = np.zeros(now.gain.shape, dtype=bool)
        self._ties = np.zeros(now.gain.shape, dtype=bool)
        for look in looks:
            self._take(look)

    def _take(self, look: Look) -> None:
        """Judge the pairs of the race, again and again while cells are dropped.

        With fewer cells left there is less to be mistaken about, so the intervals of those that
        are left get narrower (a step-down procedure).
        """
        seen = {
            cell: {seed: self.merits[cell][seed] for seed in seeds if seed in self.merits[cell]}
            for cell, seeds in look.runs.items()
            if cell in self.merits
        }
        values = _table(seen, self._cells)
        n_left = len(self._cells) - len(self.dropped) + 1
        while 1 < len(self._cells) - len(self.dropped) < n_left:
            n_left = len(self._cells) - len(self.dropped)
            self._judge(differences(values, self.rule.alpha * look.share, n_left), values)
            beaten = [self._cells[j] for j in np.flatnonzero(self._beats.any(axis=0))]
            if len(beaten) < len(self._cells):  # missing seeds can make a circle
                self.dropped = dict.fromkeys(beaten, look.n_seeds) | self.dropped

    def _judge(self, found: Differences, values: Values) -> None:
        """Narrow what is known of the pairs in the race, and of all others by it.

        All intervals hold together, at all looks, so each gain lies in all that there were of it,
        and what is at least a ahead of one that is at least b ahead of a third is a + b ahead.
        """
        self.noise = found.noise
        left = np.array([cell not in self.dropped for cell in self._cells])
        raced = left[:, None] & left
        self._gain = np.where(raced, found.gain, self._gain)
        self._error = np.where(raced, found.error, self._error)
        self._shared = np.where(raced, found.shared, self._shared)
        lower = np.where(np.isfinite(found.margin), found.gain - found.margin, -np.inf)
        self._low = np.where(raced, np.fmax(self._low, lower), self._low)
        for j in np.flatnonzero(np.isfinite(self._low).sum(axis=1) > 1):
            self._low = np.fmax(self._low, self._low[:, [j]] + self._low[[j]])
        matters = self.matters_of(values[left])
        told = self._beats | self._beats.T | self._ties
        beats = ~told & (self._low > matters)
        self._beats |= beats & ~beats.T
        self._ties |= ~told & (self._low >= -matters) & (-matters <= self._low.T)

    def matters_of(self, values: Values) -> float:
        """The smallest difference that matters, on the scale of merits."""
        if self.rule.relative:
            return math.log1p(self.rule.matters)
        means = [np.mean(row[np.isfinite(row)]) for row in values if np.isfinite(row).any()]
        return self.rule.matters * abs(float(max(means))) if means else 0.0

    @cached_property
    def matters(self) -> float:
        """The same of the cells that are in the race now."""
        return self.matters_of(_table(self.merits, self.left))

    def is_behind(self, cells: Iterable[str]) -> bool:
        """Whether one of the cells has runs that no look has seen."""
        seen = self._looks[-1].runs if self._looks else {}
        return any(not set(self.merits[cell]) <= set(seen.get(cell, ())) for cell in cells)

    @cached_property
    def order(self) -> list[str]:
        """The cells in the race, best mean first, then those that were dropped."""
        means = {cell: statistics.fmean(runs.values()) for cell, runs in self.merits.items()}
        return sorted(self._cells, key=lambda cell: (cell in self.dropped, -means[cell]))

    @property
    def left(self) -> list[str]:
        """The cells that are in the race, best mean first."""
        return [cell for cell in self.order if cell not in self.dropped]

    def better_pairs(self) -> list[tuple[str, str]]:
        """All pairs of which the one is better than the other."""
        return [(self._cells[i], self._cells[j]) for i, j in np.argwhere(self._beats)]

    def gain(self, one: str, other: str) -> Gain:
        """How far the one is ahead of the other, as it was last compared."""
        i, j = self._cells.index(one), self._cells.index(other)
        verdict = Verdict.UNDETERMINED
        if self._beats[i, j] or self._beats[j, i]:
            verdict = Verdict.BETTER if self._beats[i, j] else Verdict.WORSE
        elif self._ties[i, j]:
            verdict = Verdict.TIE
        low, high, error = self._low[i, j], -self._low[j, i], float(self._error[i, j])
        return Gain(
            mean=float(self._gain[i, j]),
            interval=(float(low), float(high)),
            error=error,
            detectable=self.matters + float(high - low) / 2 + NINE_OF_TEN * error,
            n=int(self._shared[i, j]),
            verdict=verdict,
        )

    def behind(self, cell: str) -> Gain:
        """How far a cell is behind the best: the leader's gain over it.

        Whichever cell is the best, it is at least as far ahead as any other cell surely is: that
        bounds the interval from below (Hsu 1981, Annals of Statistics 9: 1026-1034).
        """
        gain, j = self.gain(self.order[0], cell), self._cells.index(cell)
        low = float(np.delete(self._low[:, j], j).max())
        return replace(gain, interval=(low, max(low, gain.interval[1])))

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """Cell -> what may be said of it: of the leader against all, of the others as beaten.

        The leader is better if it alone is left, and a tie if it ties with all that are. Empty
        for fewer than two cells.
        """
        if len(self._cells) < 2:
            return {}
        leader, *rivals = self.order
        verdicts = {
            cell: Verdict.WORSE if cell in self.dropped else self.gain(cell, leader).verdict
            for cell in rivals
        }
        of_leader = {verdict.mirrored for verdict in verdicts.values()}
        best = Verdict.UNDETERMINED
        if of_leader <= {Verdict.BETTER, Verdict.TIE}:
            best = Verdict.TIE if Verdict.TIE in of_leader else Verdict.BETTER
        return {leader: best, **verdicts}

    @property
    def settled(self) -> bool:
        """Whether further seeds would tell no more."""
        return not self.verdicts or self.verdicts[self.order[0]] is not Verdict.UNDETERMINED

    def is_hopeless(self) -> bool:
        """Whether seeds up to the cap could not settle the best, so that none need be spent.

        Some rival is so close that it would neither be told apart by then, even if the gain turned
        out two standard errors larger, nor shown to be as good, for the noise is too large.
        """
        n_seeds = self._looks[-1].n_seeds if self._looks else 0
        if self.settled or not HOPE_SEEDS <= n_seeds < LOOKS[-1]:
            return False
        leader, *rivals = self.left
        for rival in rivals:
            gain, spread = self.gain(leader, rival), self._spread(leader, rival)
            margin = self._quantile * spread / math.sqrt(LOOKS[-1])
            luck = 2 * spread / math.sqrt(max(gain.n, 1))
            if margin > self.matters and gain.mean + luck < self.matters + margin:
                return True
        return False

    def seeds_needed(self, one: str, other: str) -> int | None:
        """About how many seeds would settle an open pair, if its gain and noise stay as they seem.

        None where there is no evidence to go by.
        """
        gain, spread = self.gain(one, other), self._spread(one, other)
        distance = abs(abs(gain.mean) - self.matters)
        if not math.isfinite(spread) or not distance > 0:  # NaN where they share no seed
            return None
        return max(gain.n + 1, math.ceil((self._quantile * spread / distance) ** 2))

    def _spread(self, one: str, other: str) -> float:
        """Standard deviation of the two cells' difference with one seed; infinite if unknown."""
        if self.noise is None or self.noise.freedom < FEWEST_FREEDOM:
            return math.inf
        runs = np.where(self.noise.wild, self.noise.own, self.noise.pooled)
        return math.sqrt(runs[self._cells.index(one)] + runs[self._cells.index(other)])

    @cached_property
    def _quantile(self) -> float:
        """Of the last look of a race, by which a standard error is multiplied there."""
        if self.noise is None:
            return math.inf
        n_seeds = self._looks[-1].n_seeds
        freedom = self.noise.freedom + max(0, LOOKS[-1] - n_seeds) * (len(self.left) - 1)
        level = self.rule.alpha * share_of_next(LOOKS[-1])
        return studentised_range(level, max(2, len(self.left)), freedom) / math.sqrt(2)


def _table(merits: Merits, cells: Sequence[str]) -> Values:
    """(cells, seeds), NaN where a cell has no such run."""
    seeds = sorted({seed for runs in merits.values() for seed in runs})
    rows = [[merits.get(cell, {}).get(seed, math.nan) for seed in seeds] for cell in cells]
    return np.array(rows, dtype=float).reshape(len(cells), len(seeds))
