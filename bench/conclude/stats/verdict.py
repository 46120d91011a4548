"""When may one be called better than another? The rule, the same for losses and for times.

Better needs two things: a difference that Holm's correction leaves significant, so that many
comparisons make no winner by luck, and an interval that lies beyond the noise floor, so that a
difference too small to matter makes none either. A tie needs evidence as well: an interval inside
the noise floor on both sides, which is the two one-sided tests of equivalence (Schuirmann 1987).
All else is undetermined.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from gpt.errors import ConfigError


class Verdict(StrEnum):
    """What may be said of one, compared with another."""

    BETTER = "better"
    WORSE = "worse"
    TIE = "tie"
    """Shown to differ by less than the noise floor."""

    UNDETERMINED = "undetermined"
    """Not enough evidence for any of the others."""

    @property
    def mirrored(self) -> "Verdict":
        """What may be said of the other."""
        return {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}.get(self, self)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How much evidence a verdict takes."""

    alpha: float = 0.01
    """Chance of any false difference among all comparisons, at all looks together."""

    look: int = 0
    """How often growing data were looked at, this time counted; 0: once, and never again."""

    min_seeds: int = 5
    """Fewer paired seeds than this are always undetermined."""

    power: float = 0.9
    """How surely a difference is found that is called detectable."""

    @property
    def level(self) -> float:
        """The chance that this look may spend; intervals have level 1 − it.

        The k-th look gets alpha / k(k + 1): the sum over all looks there may ever be is alpha.
        """
        return self.alpha / (self.look * (self.look + 1)) if self.look else self.alpha

    @property
    def at_next_look(self) -> "Rule":
        """The same for the look after this one; a rule for one look stays as it is."""
        return replace(self, look=self.look + 1) if self.look else self

    def __post_init__(self) -> None:
        for name in ("alpha", "power"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} must be between 0 and 1 but got {getattr(self, name)}")
        if self.look < 0:
            raise ConfigError(f"look must be at least 0 but got {self.look}")
        if self.min_seeds < 2:
            raise ConfigError(
                f"min_seeds must be at least 2, for one seed shows no spread, but got "
                f"{self.min_seeds}"
            )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, in the same order (Holm 1979).

    Rejecting those below alpha keeps the chance of any false rejection below alpha. The smallest
    of m is multiplied by m, the next by m − 1 and so on; none may fall below one before it.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    return [float(value) for value in corrected]


def judge(
    interval: tuple[float, float], p_adjusted: float, noise_floor: float, alpha: float
) -> Verdict:
    """The verdict on one whose gain over another lies in `interval`.

    Args:
        interval: of the gain, positive where the one is better; NaN decides nothing.
        p_adjusted: of no difference, after Holm's correction.
        noise_floor: the smallest difference that matters, in the interval's unit.
    """
    low, high = interval
    if p_adjusted < alpha and low > noise_floor:
        return Verdict.BETTER
    if p_adjusted < alpha and high < -noise_floor:
        return Verdict.WORSE
    if -noise_floor <= low and high <= noise_floor:
        return Verdict.TIE
    return Verdict.UNDETERMINED
