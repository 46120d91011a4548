"""Axes with a row for each of some names, which stand at the left."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.drawing import new_axes
from bench.report.figures.labels import LINE_HEIGHT, fold_all

MOST_ROWS = 40
"""Further cells are in the data of a picture alone."""

ROW = 0.31
"""Height of a row in inches, if no name needs more."""


def new_rows(
    names: Sequence[str], *, xlabel: str, width: float = 4.8, beside: float = 0.75
) -> tuple[Figure, Axes]:
    """A figure, and axes with the first name at the top and no lines between the rows.

    Args:
        width: in inches.
        beside: height of what is above and below the rows, in inches.
    """
    folded = fold_all(names)
    n_lines = max((name.count("\n") + 1 for name in folded), default=1)
    row = max(ROW, (n_lines * LINE_HEIGHT + 2) / 72)
    figure, axes = new_axes(width=width, height=beside + row * len(names), xlabel=xlabel)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), folded)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    return figure, axes
