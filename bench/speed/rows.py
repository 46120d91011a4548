"""A row of the table: a ratio, its target, and how reliable it is."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bench.conclude.looks import rule_of
from bench.conclude.stats import Gain, Race, Verdict, race_timings

RULE = rule_of("tokens_per_second")
"""The rule for verdicts between ways that were timed alternately."""

WORDS = {
    Verdict.BETTER: "faster",
    Verdict.WORSE: "slower",
    Verdict.TIE: "tie",
    Verdict.UNDETERMINED: "undetermined",
}
"""The words for a verdict about our way."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison, or the reason why it was skipped."""

    name: str
    """What is measured, and at which shape."""

    ours: str = ""
    """What the suite did, with its unit."""

    baseline: str = ""
    """What it is compared with."""

    gain: Gain | None = None
    """How far ours is ahead of the baseline, by logarithms, where both were timed in turns."""

    ratios: Sequence[float] = ()
    """One a round, of what was not timed in turns; empty where there is a gain, and where the row
    was skipped."""

    target: float | None = None
    """What the ratio should reach."""

    at_most: bool = False
    """Whether the target is an upper bound. A gain's ratio is then that of our seconds to the
    baseline's, else that of the baseline's to ours."""

    limit: float | None = None
    """What the ratio would be if ours were nothing but matrix products at the machine's ceiling:
    where it is below the target, no code for this machine reaches that in this precision."""

    noise: float | None = None
    """The machine's noise (A/A): the largest difference, as a share, between one way's two timings
    in a round. A ratio nearer to 1 than this shows nothing."""

    note: str = ""
    """Why the row was skipped, or what to know of it."""

    def __str__(self) -> str:
        if self.ratio is None:
            return f"{self.name}: skipped: {self.note}"
        line = f"{self.name} vs {self.baseline}: {_number(self.ratio)}"
        return f"{line} ({_range(self)}), {self.verdict}" if self.gain is not None else line

    @property
    def ratio(self) -> float | None:
        """The geometric mean that the gain says, or the median over rounds."""
        if self.gain is not None:
            return math.exp(-self.gain.mean if self.at_most else self.gain.mean)
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval of the ratio, if both ways were timed in turns in enough rounds."""
        if self.gain is None or not math.isfinite(self.gain.margin):
            return None
        low, high = map(math.exp, self.gain.interval)
        return (1 / high, 1 / low) if self.at_most else (low, high)

    @property
    def verdict(self) -> str:
        """Whether ours is the faster way; empty where the two were not timed in turns."""
        return "" if self.gain is None else WORDS[self.gain.verdict]

    @property
    def met(self) -> bool | None:
        """Whether the target is reached.

        None where there is none, or no ratio, and where the ratio of two ways that were timed in
        turns has no interval, or one that holds the target.
        """
        if self.ratio is None or self.target is None:
            return None
        low, high = self.interval or (self.ratio, self.ratio)
        if self.gain is not None and (self.interval is None or low < self.target < high):
            return None
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


CAPTION = (
    f"interval: of the ratio of two ways that were timed in turns, at {1 - RULE.alpha:.0%}; "
    "verdict: of ours, "
    f"where {RULE.matters:.0%} and less does not matter; rounds: the smallest to the largest of "
    "those of which the ratio is the median, which is no interval; A/A: the largest difference "
    "between one way's two timings of a round; met is open where the interval holds the target, "
    "or there is none"
)
"""What the numbers of `as_table` are."""


def a_a(*ways: NDArray[np.float64]) -> float:
    """The largest difference, as a share, between a way's two timings (rounds, 2) of a round."""
    return float(max(np.expm1(np.abs(np.log(s[:, 0] / s[:, 1]))).max() for s in ways))


class TimingRace:
    """A race between ways that were timed in turns; all its intervals hold together.

    Args:
        seconds: way -> seconds (rounds, 2), as `bench.timing.interleave.interleave` gives them.
    """

    def __init__(self, seconds: Mapping[str, NDArray[np.float64]]) -> None:
        self._seconds = seconds
        self._race: Race = race_timings(seconds, RULE)

    def compared(self, ours: str, baseline: str) -> dict[str, Any]:
        """A row's `gain` and `noise`: of one way over another."""
        return {
            "gain": self._race.gain(ours, baseline),
            "noise": a_a(self._seconds[ours], self._seconds[baseline]),
        }


def as_table(rows: Iterable[Row]) -> Table:
    """The rows as they are shown."""
    table = Table(
        "row", "ours", "baseline", header_style="bold", caption=CAPTION, caption_justify="left"
    )
    for heading in ("ratio", "interval", "verdict", "A/A", "target", "met", "limit"):
        table.add_column(heading, justify="right", max_width=12)
    for row in rows:
        if row.ratio is None:
            skipped = f"skipped: {row.note}"
            table.add_row(row.name, skipped, "", "–", "", "", "", _target(row), "", "")
            continue
        table.add_row(
            row.name,
            row.ours,
            row.baseline,
            _number(row.ratio),
            _range(row),
            row.verdict,
            "" if row.noise is None else f"≤ {row.noise:.0%}",
            _target(row),
            "" if row.target is None else {True: "yes", False: "no", None: "open"}[row.met],
            "" if row.limit is None else _number(row.limit),
        )
    return table


def _number(ratio: float) -> str:
    """Two decimals; three for a small share."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}"


def _range(row: Row) -> str:
    """The ratio's interval; where it has none, the range of the rounds, and called so."""
    if row.interval is not None:
        return "–".join(map(_number, row.interval))
    n_rounds = len(row.ratios) if row.gain is None else row.gain.n
    if n_rounds == 1:
        return "one round"
    if row.gain is not None:
        return "too few rounds"
    return f"rounds {_number(min(row.ratios))}–{_number(max(row.ratios))}"


def _target(row: Row) -> str:
    return "" if row.target is None else f"{'≤' if row.at_most else '≥'} {row.target:g}"
