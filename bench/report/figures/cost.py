"""What does quality cost? Bits per byte against time, memory and parameters."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.conclude.doubts import listed
from bench.conclude.standings import Standings
from bench.conclude.stats import Verdict
from bench.conclude.summary import summarize
from bench.conclude.times import are_told_apart
from bench.drawing import Panel, Picture, hint, new_axes
from bench.drawing.style import MUTED
from bench.metrics import Metric
from bench.report.figures.board import runs_of
from bench.report.figures.labels import label_points
from bench.report.figures.quantities import WIDE, Quantity, make_log, spans
from bench.report.story import Story

QUALITY: Metric = "val_bits_per_byte"

COSTS = {
    Quantity(column="train_seconds", name="training time", unit="s"): "trains in the least time",
    Quantity(column="peak_memory_bytes", name="peak memory", unit="B"): "needs the least memory",
    Quantity(column="n_params", name="parameters"): "has the fewest parameters",
}
"""Cost -> what the cell does that has the least of it."""

SPEED = Quantity(column="tokens_per_second", name="tokens per second")
"""Drawn where training time is given and the tokens are the same for all."""

TIMED = ("train_seconds", SPEED.column)
"""What differs from run to run, for another load on the machine changes it."""

ALIKE = 1.03
"""Costs within this ratio are not told apart; if all cells' are, they make no panel."""

TRIFLE = 5e-4
"""A cell that costs more is not preferable for a smaller share of bits per byte."""

LEAST_SPAN = 0.02
"""The share of its value that the upright axis shows at least, so that a trifle looks like one."""

MOST_IN_LEGEND = 20
"""The best of many cells; the others have names under the pointer."""


def cost(story: Story) -> Picture | None:
    """A panel a cost; None where all cells cost the same, or quality is not known."""
    runs = runs_of(story.standings)
    if runs.empty or QUALITY not in runs or runs.key.nunique() < 2:
        return None
    data = cost_data(story.standings, runs)
    costs = [c for c in COSTS if c.column in data and spans(data[c.column]) > ALIKE]
    tokenizers = {entry.config.tokenizer.canonical() for entry in story.standings.complete}
    timed = any(c.column == "train_seconds" for c in costs)
    if len(tokenizers) == 1 and not timed and spans(data[SPEED.column]) > ALIKE:
        costs.insert(0, SPEED)
    if not costs:
        return None
    fronts = {c: front(data[data.ranked], c.column, more=c is SPEED) for c in costs}
    panels = [
        Panel(figure=_panel(story, data, c, found), title=f"bits per byte and {c.name}")
        for c, found in fronts.items()
    ]
    for c, found in fronts.items():
        data[f"front_{c.column}"] = data.key.isin(found)
    spread = "Lines reach from the lowest to the highest seed."
    return Picture(
        name="cost-and-quality",
        title=_say(story.standings, data, fronts),
        panels=panels,
        legend={story.names[key]: story.styles[key] for key in story.order[:MOST_IN_LEGEND]},
        data=data,
        note="The cells at the corners of the stepped line are named: no other has fewer bits per "
        f"byte for less, by the means. {spread}"
        + " Hollow: not ranked."
        * (not data.ranked.all()),
    )


def cost_data(standings: Standings, runs: pd.DataFrame) -> pd.DataFrame:
    """A row a cell: means over its seeds, of speeds geometric ones as everywhere; and the lowest
    and highest bits per byte, and those of what depends on the machine (`…_low`, `…_high`)."""
    costs = [c.column for c in (*COSTS, SPEED) if c.column in runs]
    found = runs.groupby("key", sort=False).agg(
        cell=("cell", "first"),
        ranked=("ranked", "first"),
        seeds=("seed", "size"),
        **{QUALITY: (QUALITY, "mean")},
        low=(QUALITY, "min"),
        high=(QUALITY, "max"),
        **{column: (column, "mean") for column in costs},
        **{f"{column}_low": (column, "min") for column in TIMED if column in costs},
        **{f"{column}_high": (column, "max") for column in TIMED if column in costs},
    )
    found = found.reset_index()
    if SPEED.column in costs:
        found[SPEED.column] = found.key.map(summarize(standings).set_index("key")[SPEED.column])
    return found


def front(data: pd.DataFrame, column: str, more: bool = False) -> list[str]:
    """Cells to which no other is preferable in one of both and no worse in the other.

    Args:
        data: a row a cell.
        more: whether more of the column is better.

    Returns:
        keys, those that cost least first.
    """
    there = data.dropna(subset=[column, QUALITY])
    there = there.sort_values([column, QUALITY], ascending=[not more, True])
    lowest = there[QUALITY].cummin().shift(fill_value=float("inf"))
    return list(there.key[there[QUALITY] < (1 - TRIFLE) * lowest])


def _say(standings: Standings, data: pd.DataFrame, fronts: Mapping[Quantity, list[str]]) -> str:
    """Which cell has the lowest mean, or which tie, and which cost clearly less than all others.

    Of times nothing is said where runs of one cell differ by as much.
    """
    ranked = data[data.ranked].set_index("key")
    if ranked.empty:
        return "What the cells cost; none of them is ranked."
    said = [f"{ranked.cell[ranked[QUALITY].idxmin()]} has the fewest bits per byte"]
    tied = [cell for cell, found in standings.verdicts.items() if found is Verdict.TIE]
    if tied and standings.metric == QUALITY:
        said = [f"{listed([standings.names[cell] for cell in tied])} tie in bits per byte"]
    for c in fronts:
        costs = ranked[c.column].sort_values(ascending=c is not SPEED)
        first, second = [*costs.index[:2], "", ""][:2]
        told = c.column not in TIMED or are_told_apart(standings, c.column, first, second)
        if len(ranked) > 1 and spans(costs.iloc[:2]) > ALIKE and told:
            said.append(f"{ranked.cell[costs.index[0]]} {COSTS.get(c, 'trains fastest')}")
    return f"By their means: {'; '.join(said)}."


def _panel(story: Story, data: pd.DataFrame, c: Quantity, found: list[str]) -> Figure:
    divisor, unit = c.scale(float(data[c.column].max()))
    figure, axes = new_axes(xlabel=c.label(unit), ylabel="bits per byte", width=4.8, height=3.6)
    if (ratio := spans(data[c.column])) > WIDE:
        make_log(axes, ratio)
    else:
        axes.locator_params(axis="x", nbins=7)
    for row in data.itertuples():
        style, x = story.styles[row.key], getattr(row, c.column) / divisor
        axes.plot([x, x], [row.low, row.high], color=style.colour, lw=1, alpha=0.6)
        if c.column in TIMED:
            ends = [getattr(row, f"{c.column}_{end}") / divisor for end in ("low", "high")]
            y = [getattr(row, QUALITY)] * 2
            axes.plot(ends, y, color=style.colour, lw=1, alpha=0.6)
        (dot,) = axes.plot(
            [x], [getattr(row, QUALITY)], linestyle="", color=style.colour, **style.point,
            markerfacecolor=style.colour if row.ranked else "none",
        )  # fmt: skip
        value = f"{getattr(row, QUALITY):.4f} bits per byte"
        hint(dot, f"{row.cell}: {value}, {c.say(x * divisor)} of {c.name}, {row.seeds} seeds")
    axes.margins(x=0.12, y=0.12)
    bottom, top = axes.get_ylim()
    more = max(0.0, LEAST_SPAN * top - (top - bottom)) / 2
    axes.set_ylim(bottom - more, top + more)
    cells = data.set_index("key")
    places = {
        key: (cells.loc[key, c.column] / divisor, cells.loc[key, QUALITY]) for key in cells.index
    }
    _steps(axes, [places[key] for key in found], more=c is SPEED)
    label_points(
        figure,
        axes,
        {story.names[key]: places[key] for key in found}
        | {f"·{key}": places[key] for key in places if key not in found},
    )
    return figure


def _steps(axes: Axes, points: list[tuple[float, float]], *, more: bool) -> None:
    """The front as a line from the upper edge to the far one; it changes no limits."""
    if not points:
        return
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = zip(*points, strict=True)
    axes.step(
        [x[0], *x, left if more else right], [top, *y, y[-1]], where="post", color=MUTED, lw=1,
        linestyle=(0, (4, 2)), zorder=1,
    )  # fmt: skip
    axes.set(xlim=(left, right), ylim=(bottom, top))
