"""The leaderboard as dots: each run, the mean of each cell, and how far it is behind the best."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.conclude.leaderboard import say_verdict
from bench.conclude.remarks import is_known, say_answer, say_interval, say_level
from bench.conclude.standings import Standings
from bench.conclude.stats import Gain
from bench.drawing import Panel, Picture, hint
from bench.drawing.style import INK, MUTED
from bench.metrics import LARGER_IS_BETTER, RELATIVE, TITLES, Metric, say_size, say_value
from bench.report.figures.board import board_data
from bench.report.figures.labels import LABEL_SIZE, fold
from bench.report.figures.quantities import WIDE, make_log, spans
from bench.report.figures.rows import MOST_ROWS, new_rows
from bench.report.story import Story

FAR = 4.0
"""A cell that is so many times further behind than three of four others lies outside the axis."""

ASIDE = (0.22, 0.32, 0.27, 0.37)
"""How far below its row each run is drawn, so that equal ones are seen side by side."""

BARS = 3.0
"""Bars are drawn as far as so many times the distance of the last cell."""


def leaderboard(story: Story) -> Picture | None:
    """A row a cell, best at the top; None for a cell alone."""
    data = board_data(story)
    if data.empty or data.key.nunique() < 2:
        return None
    rows = [key for key in story.order if key in set(data.key)][:MOST_ROWS]
    panels = [Panel(figure=_values(story, data, rows), title="each run, and the mean of a cell")]
    if story.standings.leads:
        behind = "how far each is behind the best"
        panels.append(Panel(figure=_behind(story, rows), title=behind))
    left_out = data.key.nunique() - len(rows)
    notes = [
        "Small dots are runs with one seed each, the large marker is their mean.",
        "Hollow: not ranked." * (not data.ranked.all()),
        _say_intervals(story.standings) if story.standings.leads else "",
        f"Drawn are the best {MOST_ROWS}; {left_out} more are in the data." if left_out else "",
    ]
    return Picture(
        name="leaderboard",
        title=_title(story.standings),
        panels=panels,
        data=data,
        note=" ".join(filter(None, notes)),
    )


def _title(standings: Standings) -> str:
    if standings.leads:
        return "The cells, best first: every run, and how far each cell is behind the best."
    return say_answer(standings) or "The cells are not ranked."


def _known(standings: Standings) -> list[bool]:
    """Whether there is an interval for each cell but the best."""
    return [is_known(standings.metric, lead) for lead in standings.leads.values()]


def _say_intervals(standings: Standings) -> str:
    known = _known(standings)
    matters = say_size(standings.metric, standings.race.matters)
    zone = f"the shaded zone (under {matters}, taken as too small to matter)"
    said = f"{zone[0].upper()}{zone[1:]} is where a difference would not count."
    if any(known):
        said = (
            f"Bars are {say_level(standings.rule.alpha)} intervals: a cell is worse if all of its "
            f"bar lies right of {zone}."
        )
    if not all(known):
        said += " Without a bar: too few runs to tell."
    return said


def _rows(story: Story, rows: Sequence[str], xlabel: str) -> tuple[Figure, Axes]:
    """Axes with a row a cell, named at the left."""
    figure, axes = new_rows([story.names[key] for key in rows], xlabel=xlabel)
    axes.tick_params(axis="y", pad=7)
    axes.locator_params(axis="x", nbins=6, min_n_ticks=3)
    axes.spines["left"].set_visible(False)
    return figure, axes


def _words(story: Story, axes: Axes, rows: Sequence[str]) -> None:
    """Verdicts at the right of the rows."""
    for i, key in enumerate(rows):
        axes.text(
            1.03, i, fold(_word(story, key), 15), va="center",
            transform=axes.get_yaxis_transform(), fontsize=LABEL_SIZE, linespacing=1.0,
            color=INK if key in story.standings.verdicts else MUTED,
            fontweight="bold" if i == 0 and key in story.standings.verdicts else "normal",
        )  # fmt: skip


def _word(story: Story, key: str) -> str:
    """Its verdict; the picture of the race shows when a cell was dropped."""
    return say_verdict(key, story.standings).partition(", dropped")[0]


def _values(story: Story, data: pd.DataFrame, rows: Sequence[str]) -> Figure:
    metric = story.about.metric
    better = "higher" if metric in LARGER_IS_BETTER else "lower"
    figure, axes = _rows(story, rows, f"{TITLES[metric]} ({better} is better)")
    if metric in RELATIVE and (ratio := spans(data[metric])) > WIDE:
        make_log(axes, ratio)
    for i, key in enumerate(rows):
        runs, style = data[data.key == key], story.styles[key]
        axes.plot(
            runs[metric], [i + ASIDE[n % len(ASIDE)] for n in range(len(runs))], "o",
            markersize=3, alpha=0.6,
            color=style.colour, markeredgewidth=0,
        )  # fmt: skip
        ranked = bool(runs.ranked.iloc[0])
        (dot,) = axes.plot(
            runs["mean"].iloc[:1], [i], linestyle="", color=style.colour, **style.point,
            markerfacecolor=style.colour if ranked else "none",
        )  # fmt: skip
        ends = f"{runs[metric].min():,.6g} to {runs[metric].max():,.6g}"
        mean = say_value(metric, runs["mean"].iloc[0])
        hint(dot, f"{story.names[key]}: {mean}, the mean of {len(runs)} seeds ({ends})")
    if not story.standings.leads:
        _words(story, axes, rows)
    return figure


def _behind(story: Story, rows: Sequence[str]) -> Figure:
    standings, metric = story.standings, story.about.metric
    ratios = metric in RELATIVE
    level = f", {say_level(standings.rule.alpha)} interval" * any(_known(standings))
    unit = "how many times as fast the best is" if ratios else f"{TITLES[metric]} behind the best"
    figure, axes = _rows(story, rows, f"{unit}{level}")
    matters = standings.race.matters
    leads = [standings.leads[key] for key in rows if key in standings.leads]
    _limit(axes, leads, matters, metric)
    axes.axvspan(_along(-matters, ratios), _along(matters, ratios), color=MUTED, alpha=0.22, lw=0)
    for i, key in enumerate(rows):
        style = story.styles[key]
        if key == standings.order[0]:
            axes.plot([_along(0, ratios)], [i], linestyle="", color=style.colour, **style.point)
        elif key in standings.leads:
            _interval(axes, i, key, story)
    _words(story, axes, rows)
    return figure


def _interval(axes: Axes, row: int, key: str, story: Story) -> None:
    """A rival's dot and bar; where either leaves the axes, an arrow."""
    lead, style, metric = story.standings.leads[key], story.styles[key], story.about.metric
    ratios = metric in RELATIVE
    left, right = axes.get_xlim()
    mean = _along(lead.mean, ratios)
    said = f"{story.names[key]}: behind the best by {say_interval(metric, lead)}"
    if is_known(metric, lead):
        low, high = (_along(end, ratios) for end in lead.interval)
        (bar,) = axes.plot(
            [max(low, left), min(high, right)], [row, row], color=style.colour, lw=2, alpha=0.6,
            solid_capstyle="butt",
        )  # fmt: skip
        hint(bar, said)
        for end, at, arrow in ((low < left, left, "<"), (high > right, right, ">")):
            if end:
                _arrow(axes, at, row, arrow, style.colour)
    if left <= mean <= right:
        (dot,) = axes.plot([mean], [row], linestyle="", color=style.colour, **style.point)
        hint(dot, said)
    elif mean > right:
        _arrow(axes, right, row, ">", style.colour)
        text = f"{mean:.3g}" if ratios else f"{mean:+.3g}"
        axes.annotate(
            text, (right, row), xytext=(-7, 0), textcoords="offset points", ha="right",
            va="center", fontsize=LABEL_SIZE, color=INK,
        )  # fmt: skip


def _arrow(axes: Axes, x: float, row: int, marker: str, colour: str) -> None:
    axes.plot([x], [row], marker=marker, markersize=5, color=colour, clip_on=False)


def _limit(axes: Axes, leads: Sequence[Gain], matters: float, metric: Metric) -> None:
    """Show the means, but none that lies far behind all others, and what there is of the bars."""
    means = [lead.mean for lead in leads if math.isfinite(lead.mean)] or [0.0]
    furthest = min(max(means), FAR * float(np.quantile(means, 0.75)))
    ends = [end for lead in leads if is_known(metric, lead) for end in lead.interval]
    ratios = metric in RELATIVE
    reach = max(furthest, 2 * matters)
    high = min(max([reach, *ends]), BARS * reach)
    low = max(min([-matters, *ends]), -BARS * reach)
    pad = 0.06 * (high - low)
    axes.set_xlim(_along(low - pad, ratios), _along(high + pad, ratios))
    if ratios:
        if math.exp(high) > WIDE:
            make_log(axes, math.exp(high - low))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.4g} ×"))


def _along(gain: float, ratios: bool) -> float:
    """Where a difference of merits stands on the axis."""
    return math.exp(gain) if ratios else gain
