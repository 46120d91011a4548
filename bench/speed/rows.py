"""A row of the table: a ratio, the target that it should reach, and how much to trust it."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison, or why it was not made."""

    name: str
    """What is measured, and at which shape."""

    ours: str = ""
    """What the suite did, with its unit."""

    baseline: str = ""
    """What it is compared with."""

    ratios: Sequence[float] = ()
    """One a round; empty where the row was skipped."""

    target: float | None = None
    """What the median ratio should reach."""

    at_most: bool = False
    """Whether the target is an upper bound."""

    limit: float | None = None
    """What the ratio would be if ours were nothing but matrix products at the machine's ceiling:
    where it is below the target, no code for this machine reaches that in this precision."""

    noise: float | None = None
    """Of the machine, in the same run (A/A): how far one way's two timings of a round lie apart,
    as a share, at worst. A ratio nearer to 1 than this shows nothing."""

    note: str = ""
    """Why the row was skipped, or what to know of it."""

    def __str__(self) -> str:
        if self.ratio is None:
            return f"{self.name}: skipped: {self.note}"
        return f"{self.name} vs {self.baseline}: {_number(self.ratio)}"

    @property
    def ratio(self) -> float | None:
        """The median over rounds."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none, or no ratio."""
        if self.ratio is None or self.target is None:
            return None
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


CAPTION = (
    "ratio: the median over rounds; spread: the smallest to the largest of them; A/A: the largest "
    "difference between one way's two timings of a round"
)
"""What the numbers of `as_table` are."""


def ratios(slower: Any, faster: Any) -> list[float]:
    """One a round of `bench.timing.interleave`: seconds (rounds, 2) over seconds (rounds, 2)."""
    return [float(r) for r in slower.sum(1) / faster.sum(1)]


def a_a(*ways: NDArray[np.float64]) -> float:
    """The largest difference, as a share, between a way's two timings (rounds, 2) of a round."""
    return float(max(np.expm1(np.abs(np.log(s[:, 0] / s[:, 1]))).max() for s in ways))


def compared(slower: NDArray[np.float64], faster: NDArray[np.float64]) -> dict[str, Any]:
    """A row's `ratios` and `noise`, from the seconds (rounds, 2) of two ways taken in turn."""
    return {"ratios": ratios(slower, faster), "noise": a_a(slower, faster)}


def as_table(rows: Iterable[Row]) -> Table:
    """The rows as they are shown."""
    table = Table(
        "row", "ours", "baseline", header_style="bold", caption=CAPTION, caption_justify="left"
    )
    for heading in ("ratio", "spread", "A/A", "target", "met", "limit"):
        table.add_column(heading, justify="right")
    for row in rows:
        if row.ratio is None:
            table.add_row(row.name, f"skipped: {row.note}", "", "–", "", "", _target(row), "", "")
            continue
        table.add_row(
            row.name,
            row.ours,
            row.baseline,
            _number(row.ratio),
            _spread(row.ratios),
            "" if row.noise is None else f"≤ {row.noise:.0%}",
            _target(row),
            {True: "yes", False: "no", None: ""}[row.met],
            "" if row.limit is None else _number(row.limit),
        )
    return table


def _number(ratio: float) -> str:
    """To the hundredth; a small share to the thousandth."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}"


def _spread(ratios: Sequence[float]) -> str:
    if len(ratios) == 1:
        return "one round"
    return f"{_number(min(ratios))}–{_number(max(ratios))}"


def _target(row: Row) -> str:
    return "" if row.target is None else f"{'≤' if row.at_most else '≥'} {row.target:g}"
