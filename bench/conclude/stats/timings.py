"""Is one way faster than another, by times taken in turn?

Times have a long tail to the right, so nothing here looks at means: the median of the log-ratios,
its interval by order statistics, and the sign test, all exact for any distribution. One log-ratio
a round of `bench.timing.interleave`, from both passes, in which a drift of the machine cancels.

The noise of the machine is measured, not assumed: time the reference twice under two names, and
what the second seems to gain over the first (A/A) is the floor that a claim must clear.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.conclude.stats.verdict import Rule, Verdict, holm, judge
from gpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TimingComparison:
    """One way against the reference; gains are logarithms of reference time over its time."""

    log_ratios: NDArray[np.float64]
    """One a round; positive where this way was faster."""

    p_adjusted: float
    """After Holm's correction over the ways compared."""

    noise_floor: float
    """What A/A can't exclude, as a log-ratio; 0 where it was not measured."""

    rule: Rule

    @property
    def gain(self) -> float:
        """Median log-ratio."""
        return float(np.median(self.log_ratios))

    @property
    def speedup(self) -> float:
        """Reference time over this time: 1.05 is 5% faster."""
        return math.exp(self.gain)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Of the gain, at the rule's level or a little more, by order statistics (Conover 1999).

        Infinite where there are too few rounds for that level.
        """
        rank, ordered = self._rank, np.sort(self.log_ratios)
        return (float(ordered[rank - 1]), float(ordered[-rank])) if rank else (-math.inf, math.inf)

    @cached_property
    def spread(self) -> float:
        """Standard deviation of the log-ratios, from their median absolute deviation."""
        return float(stats.median_abs_deviation(self.log_ratios, scale="normal"))

    @cached_property
    def detectable(self) -> float:
        """The smallest true gain that as many rounds find with the rule's power.

        The interval clears the floor if fewer than `rank` log-ratios fall below it. That binomial
        chance gives the share of them that may; the gain must lift all but that share over the
        floor, and how far they reach from the median is read off their own distribution.
        """
        rank, n = self._rank, len(self.log_ratios)
        if not rank:
            return math.inf
        share = stats.beta.ppf(1 - self.rule.power, rank, n - rank + 1)
        reach = np.abs(np.quantile(self.log_ratios, [share, 1 - share]) - self.gain)
        return self.noise_floor + float(reach.max())

    @cached_property
    def verdict(self) -> Verdict:
        """Whether this way is faster (better) than the reference."""
        return judge(self.interval, self.p_adjusted, self.noise_floor, self.rule.level)

    @property
    def _rank(self) -> int:
        """The interval reaches from so many log-ratios from below to as many from above."""
        return int(stats.binom.ppf(self.rule.level / 2, len(self.log_ratios), 0.5))


def compare_timings(
    times: Mapping[str, NDArray[np.float64]],
    *,
    reference: str,
    control: str | None = None,
    rule: Rule | None = None,
) -> dict[str, TimingComparison]:
    """Each way but the reference -> how it compares with the reference.

    Args:
        times: way -> seconds, (rounds, 2), as `bench.timing.interleave.interleave` gives them.
        control: the name under which the reference was timed once more, for A/A; its own
            comparison is there too.

    Raises:
        ConfigError: a name isn't there, or the ways have unlike numbers of rounds.
    """
    rule = rule or Rule()
    for name in (reference, control):
        if name is not None and name not in times:
            raise ConfigError(f"timings must be of {', '.join(times)} but got {name}")
    shapes = {name: np.shape(seconds) for name, seconds in times.items()}
    if len(set(shapes.values())) > 1:
        raise ConfigError(f"timings taken in turn must have one shape but got {shapes}")
    logs = {name: np.log(seconds).mean(axis=1) for name, seconds in times.items()}  # (rounds,)
    ratios = {name: logs[reference] - logs[name] for name in times if name != reference}
    floor = 0.0
    comparisons = {}
    if control is not None:
        log_ratios = ratios.pop(control)
        comparisons[control] = TimingComparison(
            log_ratios=log_ratios, p_adjusted=sign_test(log_ratios), noise_floor=0.0, rule=rule
        )
        floor = max(abs(end) for end in comparisons[control].interval)
    adjusted = holm([sign_test(log_ratios) for log_ratios in ratios.values()])
    for (name, log_ratios), p_adjusted in zip(ratios.items(), adjusted, strict=True):
        comparisons[name] = TimingComparison(
            log_ratios=log_ratios, p_adjusted=p_adjusted, noise_floor=floor, rule=rule
        )
    return comparisons


def sign_test(values: NDArray[np.float64]) -> float:
    """Two-sided p-value of a median of zero; what is exactly zero is left out."""
    n_positive, n = int((values > 0).sum()), int((values != 0).sum())
    return float(stats.binomtest(n_positive, n).pvalue) if n else 1.0
