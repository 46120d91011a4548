"""Words in a picture: folded where there is little room, and kept apart from each other."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from scipy.optimize import isotonic_regression

from bench.drawing import Style
from bench.drawing.style import INK, MUTED

LABEL_SIZE = 8.5
LINE_HEIGHT = 11.0
"""Points from one line of a label to the next."""

PLACES = (
    (6, 3, "left", "bottom"), (6, -3, "left", "top"), (0, -7, "center", "top"),
    (0, 7, "center", "bottom"), (-6, 3, "right", "bottom"), (-6, -3, "right", "top"),
    (9, 14, "left", "bottom"), (9, -14, "left", "top"), (-9, 14, "right", "bottom"),
    (-9, -14, "right", "top"), (12, 0, "left", "center"), (-12, 0, "right", "center"),
)  # fmt: skip
"""Where a label may stand beside its point: offset in points, and how it is aligned."""

MOST_LINES = 5
"""Of a name."""


def fold(name: str, width: int = 20, lines: int = 2) -> str:
    """A name in a few short lines; what does not fit is cut with an ellipsis."""
    return textwrap.fill(
        name, width=width, max_lines=lines, placeholder="…", break_on_hyphens=False
    )


def fold_all(names: Sequence[str], width: int = 24) -> list[str]:
    """Names in as few lines as tell them apart, at least in two if they are long."""
    for lines in range(2, MOST_LINES):
        folded = [fold(name, width, lines) for name in names]
        if len(set(folded)) == len(set(names)):
            return folded
    return [fold(name, width, MOST_LINES) for name in names]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places nearest to these, in the same order, that are at least so far apart.

    Args:
        gap: between neighbours.
        low: the places lie above it.
        high: they lie below it if they fit.
    """
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(order))
    fitted = isotonic_regression(np.asarray(wanted, dtype=float)[order] - steps).x
    places = np.empty(len(order))
    places[order] = np.clip(fitted, low, max(low, high - steps[-1])) + steps
    return [float(place) for place in places]


def label_ends(
    axes: Axes, ends: Mapping[str, tuple[float, float]], looks: Mapping[str, Style]
) -> None:
    """Name curves at the right of the axes, each at the height where it ends if there is room.

    Args:
        ends: name -> the last point of its curve; the limits of the axes must be set.
        looks: name -> its style.
    """
    low, high = axes.get_ylim()
    names = dict(zip(ends, fold_all(list(ends)), strict=True))
    n_lines = max((name.count("\n") + 1 for name in names.values()), default=1)
    points = axes.get_window_extent().height * 72 / axes.figure.dpi
    gap = (n_lines * LINE_HEIGHT + 2 * (n_lines > 1)) / points
    wanted = [(y - low) / (high - low) for _, y in ends.values()]
    places = spread(wanted, gap, 0.0, 1.0)
    for (name, (x, y)), place in zip(ends.items(), places, strict=True):
        style = looks[name]
        axes.annotate(
            "", (x, y), xytext=(1.02, place), textcoords="axes fraction", annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": MUTED, "linewidth": 0.8, "linestyle": (0, (1, 2)),
                "shrinkA": 0, "shrinkB": 0,
            },
        )  # fmt: skip
        axes.add_line(
            Line2D(
                [1.03], [place], transform=axes.transAxes, clip_on=False, linestyle="",
                color=style.colour, **style.point,
            )
        )  # fmt: skip
        axes.text(
            1.055, place, names[name], transform=axes.transAxes, va="center", color=INK,
            fontsize=LABEL_SIZE, linespacing=1.0,
        )  # fmt: skip


def label_points(figure: Figure, axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Name points beside them, so that no name covers a point or another name if that can be.

    Args:
        points: name -> its place in the data's units; a name that begins with "·" is a point that
            is not named, but must stay free. The limits of the axes must be set.
    """
    figure.draw_without_rendering()
    room = axes.get_window_extent()
    places = {name: axes.transData.transform(point) for name, point in points.items()}
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in places.values()]
    names = dict(zip(points, fold_all(list(points)), strict=True))
    for name, point in points.items():
        if name.startswith("·"):
            continue
        best, least = None, np.inf
        for dx, dy, ha, va in PLACES:
            text = axes.annotate(
                names[name], point, xytext=(dx, dy), textcoords="offset points", ha=ha, va=va,
                fontsize=LABEL_SIZE, color=INK, linespacing=1.0,
            )  # fmt: skip
            box = text.get_window_extent()
            inside = box.x0 >= room.x0 and box.x1 <= room.x1 and box.y0 >= room.y0
            covered = sum(box.overlaps(other) for other in taken) + 2 * (not inside)
            if covered < least:
                if best is not None:
                    best.remove()
                best, least = text, covered
            else:
                text.remove()
        if best is not None:
            taken.append(best.get_window_extent().padded(2))  # a browser's letters are wider
