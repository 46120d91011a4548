"""A grid of two parameters as squares, each with its value."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.drawing import Panel, Picture, hint, new_axes
from bench.drawing.style import COLOURS, INK, MUTED
from bench.metrics import LARGER_IS_BETTER, RELATIVE, TITLES, say_number, say_value
from bench.report.figures.board import board_data
from bench.report.figures.labels import LABEL_SIZE, fold
from bench.report.story import Story

SCALE = "cividis"
"""People with any kind of colour blindness read it; its dark end stands for the better."""

MOST_PANELS = 6
"""One for each value of the further parameters, if there are no more."""

MOST_SAID = 8
"""Values of a parameter whose means are written out."""

FRAME = COLOURS[8]

BRIGHT, DARK = "#fefefe", "#111111"
"""Words on a square, whatever the screen; not the page's own, which change on a dark one."""

FEWEST = 0.25
"""The share of squares that must have a cell."""

Params = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the cells of a grid are laid out."""

    down: str
    """Parameter with a row for each of its values."""

    across: str
    """Parameter with a column for each."""

    rows: Sequence[Any]
    columns: Sequence[Any]

    panels: Mapping[str, Mapping[tuple[int, int], str]]
    """Values of the other parameters -> row and column -> the key of a cell."""


def heat_map(story: Story) -> Picture | None:
    """A square a cell; None unless two parameters vary, in cells that have numbers."""
    layout = layout_of({key: story.params[key] for key in story.names})
    board = board_data(story)
    if layout is None or board.empty:
        return None
    filled = [
        place
        for cells in layout.panels.values()
        for place, key in cells.items()
        if key in set(board.key)
    ]
    if any(len(set(along)) < 2 for along in zip(*filled, strict=True)):
        return None
    metric = story.about.metric
    means = board.groupby("key")["mean"].first()
    ranked = board.groupby("key").ranked.first()
    kept = means[ranked] if ranked.any() else means
    norm = Normalize(float(kept.min()), float(kept.max()))
    panels = [
        Panel(figure=_squares(story, layout, cells, means, norm), title=title)
        for title, cells in layout.panels.items()
    ]
    better = "more" if metric in LARGER_IS_BETTER else "fewer"
    if "seconds" in metric or metric == "val_loss":
        better = "less"
    return Picture(
        name="heat-map",
        title=_say_best(story, layout, means),
        panels=panels,
        data=_data(story, layout, means),
        note=f"Mean {TITLES[metric]} of each cell; darker is better ({better}). The frame marks "
        f"the best. Hatched: no such cell.{_say_effects(story, layout, means)}",
    )


def _say_effects(story: Story, layout: Layout, means: pd.Series) -> str:
    """What each parameter does on its own, in numbers: means along it, and differences of two.

    They are of the rows that have several squares, and of the columns that all of these have.
    """
    if len(layout.panels) > 1 or story.about.metric in RELATIVE:
        return ""
    (cells,) = layout.panels.values()
    values = {place: float(means[key]) for place, key in cells.items() if key in means.index}
    rows = [r for r in range(len(layout.rows)) if sum(row == r for row, _ in values) > 1]
    columns = [c for c in range(len(layout.columns)) if all((r, c) in values for r in rows)]
    if len(rows) < 2 or not 2 <= len(columns) <= MOST_SAID or len(rows) > MOST_SAID:
        return ""
    square = pd.DataFrame({c: [values[r, c] for r in rows] for c in columns})
    down = [_say(layout.rows[r]) for r in rows]
    across = [_say(layout.columns[c]) for c in columns]
    said = f" Mean at {layout.across} {_series(across, square.mean())}"
    if len(rows) == 2:
        less = square.iloc[0] - square.iloc[1]
        return f"{said}; {' minus '.join(down)} there: {', '.join(f'{d:+.3f}' for d in less)}."
    return f"{said}; at {layout.down} {_series(down, square.mean(axis=1))}."


def _series(names: Sequence[str], values: Iterable[float]) -> str:
    """`512: 2.392, 1024: 2.248`."""
    return ", ".join(f"{n}: {value:.3f}" for n, value in zip(names, values, strict=True))


def layout_of(params: Params) -> Layout | None:
    """Rows and columns for the two parameters with the most values; None where it shows nothing.

    A parameter that a cell doesn't have counts as None.
    """
    names = list(dict.fromkeys(name for of_cell in params.values() for name in of_cell))
    values = {
        name: list(dict.fromkeys(of_cell.get(name) for of_cell in params.values()))
        for name in names
    }
    varying = [name for name in names if len(values[name]) > 1]
    if len(varying) < 2:
        return None
    most = sorted(varying, key=lambda name: -len(values[name]))[:2]
    down, across = (name for name in varying if name in most)
    rows, columns = (_sorted(values[name]) for name in (down, across))
    others = [name for name in varying if name not in most]
    panels: dict[str, dict[tuple[int, int], str]] = {}
    for key, of_cell in params.items():
        title = ", ".join(f"{name} {_say(of_cell.get(name))}" for name in others)
        place = (rows.index(of_cell.get(down)), columns.index(of_cell.get(across)))
        panels.setdefault(title, {})[place] = key
    n_squares = len(panels) * len(rows) * len(columns)
    if len(panels) > MOST_PANELS or sum(map(len, panels.values())) < FEWEST * n_squares:
        return None
    return Layout(down=down, across=across, rows=rows, columns=columns, panels=panels)


def _sorted(values: Sequence[Any]) -> list[Any]:
    """Numbers by size, and None before them; words as the study wrote them."""
    there = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in there):
        there.sort()
    return [None] * (None in values) + there


def _say(value: Any) -> str:
    return "—" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _say_best(story: Story, layout: Layout, means: pd.Series) -> str:
    what = f"{TITLES[story.about.metric].capitalize()} by {layout.down} and {layout.across}"
    ranked = [key for key in story.standings.order if key in means.index]
    if not ranked or story.standings.refusal is not None:
        return f"{what}."
    best = ranked[0]
    value = say_value(story.about.metric, float(means[best]))
    return f"{what}: {story.names[best]} has the best mean, {value}."


def _data(story: Story, layout: Layout, means: pd.Series) -> pd.DataFrame:
    metric = story.about.metric
    return pd.DataFrame(
        {
            "cell": story.names[key],
            **story.params[key],
            metric: means.get(key, math.nan),
        }
        for cells in layout.panels.values()
        for key in cells.values()
    )


def _squares(
    story: Story,
    layout: Layout,
    cells: Mapping[tuple[int, int], str],
    means: pd.Series,
    norm: Normalize,
) -> Figure:
    n_rows, n_columns = len(layout.rows), len(layout.columns)
    figure, axes = new_axes(
        width=min(1.3 + 0.75 * n_columns, 9.0), height=0.8 + 0.45 * n_rows,
        xlabel=layout.across, ylabel=layout.down,
    )  # fmt: skip
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlim(-0.5, n_columns - 0.5)
    axes.set_ylim(n_rows - 0.5, -0.5)
    axes.set_xticks(range(n_columns), [fold(_say(value), 10) for value in layout.columns])
    axes.set_yticks(range(n_rows), [fold(_say(value), 18) for value in layout.rows])
    best = next((key for key in story.standings.order if key in means.index), None)
    for row, column in itertools.product(range(n_rows), range(n_columns)):
        _square(story, axes, (row, column), cells.get((row, column)), means, norm)
    for (row, column), key in cells.items():
        if key == best:
            axes.add_patch(
                Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, ec=FRAME, lw=2.6)
            )
    return figure


def _square(
    story: Story,
    axes: Any,
    place: tuple[int, int],
    key: str | None,
    means: pd.Series,
    norm: Normalize,
) -> None:
    row, column = place
    corner = (column - 0.46, row - 0.46)
    if key is None:
        axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, ec=MUTED, lw=0, hatch="///"))
        return
    name, metric = story.names[key], story.about.metric
    if key not in means.index:  # no run of it has a number
        square = axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, ec=MUTED, lw=0.8))
        words, colour = _outcome(story, key), INK
        hint(square, f"{name}: {words}")
    else:
        mean = float(means[key])
        shade = min(max(float(norm(mean)), 0.0), 1.0)
        shade = 1 - shade if metric in LARGER_IS_BETTER else shade
        fill = matplotlib.colormaps[SCALE](shade)
        square = axes.add_patch(Rectangle(corner, 0.92, 0.92, fc=fill, lw=0))
        words = say_number(metric, mean)
        colour = BRIGHT if shade < 0.55 else DARK
        said = f"{name}: {say_value(metric, mean)}"
        verdict = story.standings.words.get(key, "")
        hint(square, f"{said} ({verdict})" if verdict else said)
    axes.text(
        column, row, fold(words, 10), ha="center", va="center", color=colour, fontsize=LABEL_SIZE
    )


def _outcome(story: Story, key: str) -> str:
    """What became of the runs of a cell without numbers."""
    outcomes = dict.fromkeys(
        entry.outcome.value for entry in story.standings.entries if entry.cell == key
    )
    return " ".join(outcomes) or "not run"
