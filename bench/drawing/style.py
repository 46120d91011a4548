"""Which colour, marker and line does a curve have? The same one in every picture of a page.

The colours are Paul Tol's (https://personal.sron.nl/~pault/), which people with any kind of colour
blindness tell apart; the darkest of them are of his *bright* ones, for the others can hardly be
seen on a dark screen. After them the markers and the lines differ, so that no two curves of a page
look the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = (
    "#4477aa", "#cc6677", "#228833", "#ddaa33", "#55bbdd",
    "#aa3377", "#999933", "#7755bb", "#ee7733", "#44aa99",
)  # fmt: skip
MARKERS = "osD^vp*h<>"
"""None is a cross: these stand for what failed or was dropped."""

LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))

INK = "#26282b"
"""Text and axes; a page replaces it on a dark screen."""

FAINT = "#d8dadd"
"""Grids; replaced too."""

MUTED = "#7b8087"
"""Reference lines and what matters less; it is seen on light and on dark."""

PAPER = "#ffffff"
"""The ground, where something must stand out from it; replaced too."""

WIDTH, HEIGHT = 4.8, 3.5
"""Size of a panel in inches, 72 units of an SVG each: two stand side by side on a laptop, and its
words are still legible if it fills a phone."""

SIZES = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a curve, and what belongs to it, looks."""

    colour: str
    marker: str
    line: Any

    @property
    def curve(self) -> dict[str, Any]:
        """Arguments for `Axes.plot`."""
        return {"color": self.colour, "linestyle": self.line, "linewidth": 1.6}

    @property
    def point(self) -> dict[str, Any]:
        """Further arguments for it where each point is marked."""
        return {"marker": self.marker, "markersize": 5.5}


def styles(names: Iterable[str]) -> dict[str, Style]:
    """Name -> its style, in the order of the names."""
    names = list(dict.fromkeys(names))
    n_colours = len(COLOURS)
    lines = (line for line in cycle(LINES) for _ in range(n_colours))
    looks = zip(cycle(COLOURS), _markers(), lines, strict=False)
    return {
        name: Style(colour=colour, marker=marker, line=line)
        for name, (colour, marker, line) in zip(names, islice(looks, len(names)), strict=True)
    }


def _markers() -> Iterable[str]:
    """Each round of the colours begins with another marker."""
    shift = 0
    while True:
        yield from MARKERS[shift:] + MARKERS[:shift]
        shift = (shift + 3) % len(MARKERS)


def new_axes(
    *, width: float = WIDTH, height: float = HEIGHT, xlabel: str = "", ylabel: str = ""
) -> tuple[Figure, Axes]:
    """A figure in the shared look, and its axes.

    Args:
        width: in inches, as the height.
        xlabel: what the x axis shows, with its unit.
    """
    figure = Figure(figsize=(width, height), dpi=72)
    figure.set_layout_engine("constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    axes.set_xlabel(xlabel, color=INK, fontsize=SIZES["axes.labelsize"])
    axes.set_ylabel(ylabel, color=INK, fontsize=SIZES["axes.labelsize"])
    axes.tick_params(which="both", colors=INK, labelsize=SIZES["xtick.labelsize"], length=3)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    return figure, axes
