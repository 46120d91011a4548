"""What can n repeats find, and how many would find this? The power of the paired t-test.

A library's noncentral t would do, but those of statsmodels 0.15 and scipy 1.17 return NaN or raise
for few repeats at a small alpha, which is our case, and a root finder on top of them returns the
end of its bracket as if it were an answer. Here the power is averaged over the distribution of the
standard deviation instead, which always exists.
"""

import math
from bisect import bisect_left

import numpy as np
from scipy import optimize, stats

MOST_REPEATS = 1000
"""Where `repeats_needed` gives up."""

_QUANTILES = (np.arange(256) + 0.5) / 256


def power_of_t(effect: float, n: float, alpha: float) -> float:
    """Chance that a two-sided paired t-test of n differences finds a mean of `effect` SDs.

    Given the estimated SD, the test is a normal one; its power is averaged over that SD's chi
    distribution (Cohen 1988, section 2.5). The chance to find it with the wrong sign is left out.

    Args:
        n: number of differences, at least 2.
    """
    sd = np.sqrt(stats.chi2.ppf(_QUANTILES, n - 1) / (n - 1))  # of one whose true SD is 1
    critical = stats.t.isf(alpha / 2, n - 1)
    return float(stats.norm.cdf(effect * math.sqrt(n) - critical * sd).mean())


def detectable_effect(n: float, alpha: float, power: float) -> float:
    """The mean, in SDs of the differences, that n of them find with this power.

    Infinite for fewer than two differences.
    """
    if n < 2:
        return math.inf
    highest = 10 + 10 * stats.t.isf(alpha / 2, n - 1)  # in standard errors
    root = optimize.brentq(
        lambda errors: power_of_t(errors / math.sqrt(n), n, alpha) - power, 0.0, highest
    )
    return float(root) / math.sqrt(n)


def repeats_needed(effect: float, alpha: float, power: float) -> int | None:
    """The fewest differences that find a mean of `effect` SDs; None where a thousand don't."""
    counts = range(2, MOST_REPEATS + 1)
    place = bisect_left(counts, power, key=lambda n: power_of_t(effect, n, alpha))
    return counts[place] if place < len(counts) else None
