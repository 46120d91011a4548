"""What is drawn along an axis: where it is found, and in which unit people read it."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

PREFIXES = ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"), (1e15, "P"))
TIMES = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))

WIDE = 5.0
"""Values that span more than this ratio are drawn on a logarithmic axis."""

MANY_DECADES = 1e3
"""An axis with a larger ratio has a number at each power of ten alone."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A column of numbers, and what it is for people."""

    column: str
    name: str

    unit: str = ""
    """`B` or `FLOP`, which get prefixes; `s` becomes minutes and hours; "" for a count."""

    def scale(self, largest: float) -> tuple[float, str]:
        """What to divide by, and the unit then, where the largest value is this one."""
        steps = TIMES if self.unit == "s" else PREFIXES
        divisor, sign = max((step for step in steps if step[0] <= largest), default=steps[0])
        return divisor, sign if self.unit == "s" else f"{sign}{self.unit}"

    def label(self, unit: str) -> str:
        """Of its axis."""
        return f"{self.name} ({unit})" if unit else self.name

    def say(self, value: float) -> str:
        """A value to three digits with its unit: `59.8 kB`."""
        divisor, unit = self.scale(value)
        return f"{value / divisor:.3g} {unit}".strip()


def spans(values: pd.Series) -> float:
    """The ratio of the largest to the smallest; 1 where one is not positive or none is there."""
    there = values.dropna()
    return float(there.max() / there.min()) if len(there) and there.min() > 0 else 1.0


def make_log(axes: Axes, ratio: float) -> None:
    """Make the x axis logarithmic, with numbers as people write them.

    Args:
        ratio: of the largest value to the smallest.
    """
    axes.set_xscale("log")
    subs = (1.0, 2.0, 5.0) if ratio < MANY_DECADES else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
