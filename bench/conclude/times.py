"""Can the times of two cells be compared? Another load on the machine changes them."""

from collections.abc import Iterable

from bench.conclude.standings import Standings
from bench.ledger.entries import Entry

FEWEST = 2
"""Runs of a cell from which one sees how much its times vary."""


def are_told_apart(standings: Standings, column: str, one: str, other: str) -> bool:
    """Whether a number that depends on the machine differs by more than it does within a cell.

    Not if unlike numbers of runs shared the machine, or where a cell has one run alone.

    Args:
        column: of the summary of runs, such as `train_seconds`.
        one: key of a cell.
    """
    runs = [[e for e in standings.complete if e.cell == cell] for cell in (one, other)]
    if min(map(len, runs)) < FEWEST or _beside(runs[0]) != _beside(runs[1]):
        return False
    values = [[entry.summary[column] for entry in of_cell] for of_cell in runs]
    if min(map(min, values)) <= 0:
        return False
    spread = max(max(found) / min(found) for found in values)
    first, second = (sum(found) / len(found) for found in values)
    return max(first / second, second / first) > spread


def _beside(runs: Iterable[Entry]) -> set[int]:
    return {entry.facts.get("runs_side_by_side", 1) for entry in runs}
