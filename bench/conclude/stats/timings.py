"""Which way is faster, by times taken in turn? The same rule as for cells, a block for a seed.

Times have a long tail to the right, so rounds are put into a few blocks of which the medians
count. One value a round, from both passes of `bench.timing.interleave`, in which a drift of the
machine cancels.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.conclude.stats.race import Look, Race
from bench.conclude.stats.verdict import Rule
from gpt.errors import ConfigError

BLOCKS = 10
"""Into which the rounds are put, one after another; fewer rounds are a block each."""


def race_timings(times: Mapping[str, NDArray[np.float64]], rule: Rule) -> Race:
    """The ways as cells of a race that was looked at once; gains are logarithms of ratios.

    Args:
        times: way -> seconds, (rounds, 2), as `bench.timing.interleave.interleave` gives them.
        rule: a relative one.

    Raises:
        ConfigError: the ways have unlike numbers of rounds.
    """
    shapes = {name: np.shape(seconds) for name, seconds in times.items()}
    if len(set(shapes.values())) > 1:
        raise ConfigError(f"timings taken in turn must have one shape but got {shapes}")
    logs = {name: np.log(seconds).mean(axis=1) for name, seconds in times.items()}  # (rounds,)
    merits = {
        name: {
            i: -float(np.median(block))
            for i, block in enumerate(np.array_split(values, min(BLOCKS, len(values))))
        }
        for name, values in logs.items()
    }
    runs = {name: list(blocks) for name, blocks in merits.items()}
    n_blocks = max(map(len, runs.values()), default=0)
    return Race(merits, [Look(n_seeds=n_blocks, share=1.0, runs=runs)], rule)
