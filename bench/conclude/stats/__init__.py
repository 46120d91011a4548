"""What do the numbers allow one to say? Pure functions of numbers: no ledger, no study, no table.

`verdict` holds the rule, `power` says what a number of repeats can find, `seeds` compares cells
of a grid by the seeds that they share, `timings` compares times taken in turn.
"""

from bench.conclude.stats.power import detectable_effect, power_of_t, repeats_needed
from bench.conclude.stats.seeds import (
    CellComparison,
    NoiseFloor,
    PairedDifferences,
    compare_cells,
    noise_floor,
)
from bench.conclude.stats.timings import TimingComparison, compare_timings
from bench.conclude.stats.verdict import Rule, Verdict, holm, judge

__all__ = [
    "CellComparison",
    "NoiseFloor",
    "PairedDifferences",
    "Rule",
    "TimingComparison",
    "Verdict",
    "compare_cells",
    "compare_timings",
    "detectable_effect",
    "holm",
    "judge",
    "noise_floor",
    "power_of_t",
    "repeats_needed",
]
