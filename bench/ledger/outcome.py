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
    """Its canary failed, for example because it saw future tokens; it did not train."""

    INFEASIBLE = "infeasible"
    """Its config can't run on this text or machine."""

    OUT_OF_MEMORY = "infeasible (out of memory)"
    """Memory ran out, perhaps because of other processes; the next command tries it again."""

    FAILED = "failed"
    """It raised, or its process died, as often as it may be tried."""

    INTERRUPTED = "interrupted"
    """The study was stopped while it ran; the same command runs it again."""

    @property
    def settled(self) -> bool:
        """Whether running it again would give the same outcome."""
        return self not in (Outcome.FAILED, Outcome.INTERRUPTED, Outcome.OUT_OF_MEMORY)

    @property
    def answers(self) -> bool:
        """Whether the run ended as the study intended."""
        return self in (Outcome.COMPLETE, Outcome.PRUNED)
