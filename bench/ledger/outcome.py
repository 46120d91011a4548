"""What became of a run: an explicit vocabulary, so that no run is dropped silently."""

from enum import StrEnum


class Outcome(StrEnum):
    """The state in which a run ended."""

    COMPLETE = "complete"
    """Its whole budget was spent."""

    PRUNED = "pruned"
    """A search stopped it early, as unpromising."""

    DIVERGED = "diverged"
    """Its loss became NaN or infinite."""

    UNSOUND = "unsound"
    """Its canary failed: it saw the future, or its kernel was wrong; it did not train."""

    INFEASIBLE = "infeasible"
    """It can't exist on this text or machine."""

    OUT_OF_MEMORY = "infeasible (out of memory)"
    """Memory was short, perhaps for somebody else's sake; the next command tries it again."""

    FAILED = "failed"
    """It raised, or its process died, as often as it may be tried."""

    INTERRUPTED = "interrupted"
    """The study was stopped while it ran; the same command runs it again."""

    @property
    def settled(self) -> bool:
        """Whether running it again would find the same."""
        return self not in (Outcome.FAILED, Outcome.INTERRUPTED, Outcome.OUT_OF_MEMORY)

    @property
    def answers(self) -> bool:
        """Whether it fulfilled what the study wanted of it."""
        return self in (Outcome.COMPLETE, Outcome.PRUNED)
