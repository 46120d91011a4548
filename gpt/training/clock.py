"""Where did the wall time go? Every second belongs to one bucket, or to none and that shows.

A region is closed only after the device has finished what was queued in it; otherwise the next
bucket pays for this one's work.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BUCKETS = ("compile", "warm_up", "data", "step", "evaluation", "logging")
"""What wall time is spent on. `compile` is compiling and its check, `warm_up` making the optimizer
and the first training step, and capturing it for a CUDA graph; `data` is bringing text and batches
to the device; `logging` is making a point, and all the time that the caller keeps
training waiting at it."""

BUDGETED = ("compile", "warm_up", "step")
"""What a budget in seconds is spent on."""

TRAINING = (*BUDGETED, "data")
"""What it took to train."""


class Clock:
    """A stopwatch per bucket on one monotonic clock.

    Args:
        synchronize: waits until the device is done; called at both edges of every region.
        now: seconds on a monotonic clock.
    """

    def __init__(
        self,
        synchronize: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._synchronize = synchronize
        self._now = now
        self._start = now()
        self.seconds = dict.fromkeys(BUCKETS, 0.0)

    @contextmanager
    def measure(self, bucket: str) -> Iterator[None]:
        """Add the time of the `with` block to `bucket`; blocks don't nest."""
        self._synchronize()
        start = self._now()
        try:
            yield
        finally:
            self._synchronize()
            self.seconds[bucket] += self._now() - start

    @property
    def wall_seconds(self) -> float:
        """Seconds since the clock was made, whatever they were spent on."""
        return self._now() - self._start
