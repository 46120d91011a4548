"""How much of the chance of a false difference may a look at growing data spend?

Each look is a further chance to see a difference that is not there, so alpha is shared out among
all looks, whoever makes them. By the number of seeds that are seen: a look may spend what is due
by then less what earlier looks spent (Lan and DeMets 1983), and the shares add up to one.
"""

from collections.abc import Iterable

import numpy as np

DUE = {1: 0.0, 2: 0.1, 3: 0.15, 4: 0.35, 6: 0.45, 9: 0.6, 12: 0.9}
"""Seeds -> the share of alpha that all looks up to there may spend.

Most of it late, where little is left to compare: what is far behind is seen at any level.
"""

LOOKS = tuple(DUE)[1:]
"""Seeds after which a race is looked at; the last is its cap."""


def share_due(n_seeds: float) -> float:
    """The share of alpha that may be spent by all looks at up to so many seeds.

    Between two looks in proportion; beyond the last, what is left is halved each time that the
    seeds double.
    """
    if n_seeds > LOOKS[-1]:
        return 1 - (1 - DUE[LOOKS[-1]]) * LOOKS[-1] / n_seeds
    return float(np.interp(n_seeds, list(DUE), list(DUE.values())))


def share_of_look(n_seeds: int, spent: Iterable[float]) -> float:
    """The share that a look at so many seeds may spend after looks that spent these."""
    return max(0.0, share_due(n_seeds) - sum(spent))


def share_of_next(n_seeds: int) -> float:
    """The share of a look at so many seeds after those that a race makes with fewer."""
    return share_due(n_seeds) - share_due(max((n for n in LOOKS if n < n_seeds), default=1))
