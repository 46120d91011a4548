"""What came of each cell, in a few words and rounded: how a table of runs shows it."""

import math
import statistics
from collections.abc import Sequence

from bench.conclude.leaderboard import say_verdict
from bench.conclude.standings import Standings
from bench.metrics import Metric, say_number


def say_results(standings: Standings) -> dict[str, str]:
    """Cell, by its key -> mean ± standard deviation over its seeds, and the verdict.

    `2.056 ± 0.010 · best`; of a study of one cell the numbers alone, of a cell without a complete
    run the words alone.
    """
    values: dict[str, list[float]] = {}
    for entry in standings.complete:
        values.setdefault(entry.cell, []).append(entry.summary[standings.metric])
    found = {}
    for cell in standings.names:
        verdict = say_verdict(cell, standings) if cell in standings.words else ""
        numbers = say_mean(standings.metric, values[cell]) if cell in values else ""
        found[cell] = " · ".join(part for part in (numbers, verdict) if part)
    return {cell: said for cell, said in found.items() if said}


def say_mean(metric: Metric, values: Sequence[float]) -> str:
    """The mean that the board shows, and the standard deviation of more than one value."""
    if not all(map(math.isfinite, values)):  # a run that did not reach its target
        return "not reached" if len(values) == 1 else "not always reached"
    ratios = metric == "tokens_per_second" and min(values) > 0
    mean = statistics.geometric_mean(values) if ratios else statistics.fmean(values)
    if len(values) == 1:
        return say_number(metric, mean)
    return f"{say_number(metric, mean)} ± {say_number(metric, statistics.stdev(values))}"
