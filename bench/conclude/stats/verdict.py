"""What may be said of one, compared with another?"""

from dataclasses import dataclass
from enum import StrEnum

from gpt.errors import ConfigError


class Verdict(StrEnum):
    """What may be said of one, compared with another."""

    BETTER = "better"
    """Shown to be ahead by more than the smallest difference that matters."""

    WORSE = "worse"
    """Shown to be behind by more than the smallest difference that matters."""

    TIE = "tie"
    """Shown to differ by less than the smallest difference that matters."""

    UNDETERMINED = "undetermined"
    """Not enough evidence for any of the others."""

    @property
    def mirrored(self) -> "Verdict":
        """What may be said of the other."""
        return {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}.get(self, self)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How much evidence a verdict takes, and what it is about."""

    alpha: float = 0.01
    """Chance of any false difference among all pairs of cells, at all looks together."""

    matters: float = 0.005
    """The smallest difference that matters, as a share of the best cell's value."""

    relative: bool = False
    """Whether merits are logarithms, so that their differences are ratios."""

    def __post_init__(self) -> None:
        for name in ("alpha", "matters"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} must be between 0 and 1 but got {getattr(self, name)}")
