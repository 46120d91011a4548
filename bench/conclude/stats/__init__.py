"""What do the numbers allow one to say? Pure functions of numbers: no ledger, no study, no table.

`noise` says how much runs of one cell differ, `intervals` by how much cells differ, `race` which
cells need further seeds and what may be said of each, `spending` how looks share alpha.
"""

from bench.conclude.stats.intervals import FEWEST_FREEDOM
from bench.conclude.stats.race import Gain, Look, Merits, Race
from bench.conclude.stats.spending import LOOKS, share_of_look, share_of_next
from bench.conclude.stats.timings import race_timings
from bench.conclude.stats.verdict import Rule, Verdict

__all__ = [
    "FEWEST_FREEDOM",
    "LOOKS",
    "Gain",
    "Look",
    "Merits",
    "Race",
    "Rule",
    "Verdict",
    "race_timings",
    "share_of_look",
    "share_of_next",
]
