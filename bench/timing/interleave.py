"""Time several ways of doing one thing alternately, so that other load affects all of them.

A round goes through the ways and back: A B C C B A. Every way has the same mean position in time
within a round, so a drift that is linear over a round affects all equally and cancels out of their
ratios. Left out on purpose: any statistics (`bench.conclude.stats.race_timings`).
"""

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from gpt.errors import ConfigError


def interleave(
    ways: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warm_up: int = 1,
    synchronize: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.perf_counter,
) -> dict[str, NDArray[np.float64]]:
    """Name -> seconds of each call, (rounds, 2): the way there and the way back.

    Args:
        warm_up: calls of each way that are not timed, before all others.
        synchronize: waits until the device is done; called at both edges of each call.
        now: seconds on a monotonic clock.

    Raises:
        ConfigError: fewer than one round.
    """
    if rounds < 1:
        raise ConfigError(f"rounds must be at least 1 but got {rounds}")
    for _ in range(warm_up):
        for call in ways.values():
            call()
    seconds = {name: np.empty((rounds, 2)) for name in ways}
    for i in range(rounds):
        for j, names in enumerate((list(ways), list(ways)[::-1])):
            for name in names:
                synchronize()
                start = now()
                ways[name]()
                synchronize()
                seconds[name][i, j] = now() - start
    return seconds
