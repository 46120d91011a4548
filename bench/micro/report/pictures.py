"""A question against T, on logarithmic axes: time, verdict, memory, and share of the ceiling.

A power of T is a straight line: the cumulative sum has slope 1, and methods that fill a T × T
matrix have slope 2. The shaded areas are impossible: there even the least arithmetic and the least
bytes would exceed the machine's ceilings.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    NullLocator,
)

from bench.drawing import Panel, Picture, Style, hint, new_axes, styles
from bench.drawing.style import MUTED, PAPER
from bench.micro.report.questions import Question
from bench.micro.report.results import NOISY, Row
from bench.micro.report.tables import duration, memory
from bench.micro.report.verdicts import times_as_long

NOTE = (
    "Shaded: impossible on this machine, by the fastest matrix product and the fastest copy that "
    "were measured on it."
)
NOISE_NOTE = (
    f"Hollow: a noisy time, whose interquartile range is over {NOISY:.0%} of the median; measure "
    "it again on a quieter machine."
)
NO_MEMORY_NOTE = "This device keeps no peak of its memory."

SIDE_STEP = 0.06
"""Between two answers that stand side by side at one T, in doublings of T."""


def looks_of(questions: Sequence[Question]) -> dict[str, Style]:
    """Answer -> its look in every picture.

    No two are alike, and those that meet in a picture differ in colour as far as colours last.
    """
    drawn = sorted(questions, key=lambda question: -len(question.names))
    names = list(dict.fromkeys(name for question in drawn for name in question.names))
    free = list(styles(map(str, range(3 * len(names)))).values())
    looks: dict[str, Style] = {}
    for name in names:
        beside = {other for q in drawn if name in q.names for other in q.names}
        taken = {looks[other].colour for other in beside & looks.keys()}
        looks[name] = next((look for look in free if look.colour not in taken), free[0])
        free.remove(looks[name])
    return looks


def draw(question: Question, looks: Mapping[str, Style]) -> Picture:
    """All that is known of a question that has a T."""
    rows = [row for row in question.rows if row.T is not None]
    noisy = any(row.is_noisy for row in rows)
    remembers = any(row.peak_memory_bytes is not None for row in rows)
    notes = [NOTE, *([NOISE_NOTE] if noisy else []), *([] if remembers else [NO_MEMORY_NOTE])]
    panels = [Panel(figure=_time(rows, looks), title="Median time of a call")]
    if any(T is not None for T in question.races):
        title = "In turns: times as long as the leader, with intervals"
        panels.append(Panel(figure=_in_turns(question, looks), title=title))
    if remembers:
        panels.append(Panel(figure=_memory(rows, looks), title="Peak memory of a call"))
    title = "Share of the ceiling (matmul or copy, the nearer one)"
    panels.append(Panel(figure=_share(rows, looks), title=title))
    return Picture(
        name="-".join(re.findall(r"\w+", f"{question.series} {rows[0].device}".lower())),
        title=f"{question.series}: {question.finding}".removesuffix(": "),
        panels=panels,
        data=data([question]),
        note=" ".join([f"{question.where}.", *notes]),
        legend={name: looks[name] for name in question.names},
    )


def data(questions: Sequence[Question]) -> pd.DataFrame:
    """The numbers of questions, a row for each answer and T."""
    lines = []
    for row, race in ((row, q.races.get(row.T)) for q in questions for row in q.rows):
        compared: dict[str, Any] = {}
        if race is not None and row.name in race.verdicts:
            ratio, low, high = times_as_long(race, row.name)
            compared = {
                "verdict_in_turns": str(race.verdicts[row.name]),
                "times_as_long_in_turns": ratio,
                "times_as_long_low": low,
                "times_as_long_high": high,
            }
        lines.append(asdict(row) | {"noisy": row.is_noisy} | compared)
    return pd.DataFrame(lines)


def _time(rows: Sequence[Row], looks: Mapping[str, Style]) -> Figure:
    figure, axes = _axes(rows, duration)
    for name, curve in _curves(rows).items():
        words = [f"{duration(r.median_seconds)}{' (noisy)' * r.is_noisy}" for r in curve]
        _draw(axes, name, curve, [r.median_seconds for r in curve], words, looks[name])
    lengths = _lengths(rows)
    floor = [min(row.floor_seconds for row in rows if row.T == T) for T in lengths]
    bottom = min(axes.get_ylim()[0], min(floor) / 2)
    _impossible(axes, lengths, floor, bottom)
    axes.set_ylim(bottom=bottom)
    _ticks(axes)
    return figure


def _in_turns(question: Question, looks: Mapping[str, Style]) -> Figure:
    """Answers stand side by side at each T; of one without an interval only the ratio is drawn."""
    rows = [row for row in question.rows if row.T in question.races]
    figure, axes = _axes(rows, lambda ratio: f"{ratio:.3g} ×")
    for i, (name, curve) in enumerate(_curves(rows).items()):
        taken = [row for row in curve if name in question.races[row.T].order]
        found = [times_as_long(question.races[row.T], name) for row in taken]
        words = [f"{ratio:.3g} ({low:.3g} to {high:.3g}) ×" for ratio, low, high in found]
        ratios = [ratio for ratio, _, _ in found]
        shift = 2 ** (SIDE_STEP * (i - (len(question.names) - 1) / 2))
        _draw(axes, name, taken, ratios, words, looks[name], noise=False, shift=shift)
        for row, (_, low, high) in zip(taken, found, strict=True):
            x = shift * (row.T or 0)
            axes.plot([x, x], [low, high], color=looks[name].colour, linewidth=1.6)
    _ticks(axes)
    return figure


def _memory(rows: Sequence[Row], looks: Mapping[str, Style]) -> Figure:
    figure, axes = _axes(rows, lambda n_bytes: memory(round(n_bytes)))
    for name, curve in _curves(rows).items():
        n_bytes = [row.peak_memory_bytes or math.nan for row in curve]
        words = [memory(row.peak_memory_bytes) for row in curve]
        _draw(axes, name, curve, n_bytes, words, looks[name], noise=False)
    _ticks(axes)
    return figure


def _share(rows: Sequence[Row], looks: Mapping[str, Style]) -> Figure:
    figure, axes = _axes(rows, lambda share: f"{100 * share:.3g}%")
    for name, curve in _curves(rows).items():
        shares = [
            {"matmul": row.share_of_matmul_ceiling, "copy": row.share_of_copy_ceiling}
            for row in curve
        ]
        words = [", ".join(f"{v:.2%} of {k}" for k, v in share.items()) for share in shares]
        _draw(axes, name, curve, [max(s.values()) for s in shares], words, looks[name])
    lengths = _lengths(rows)
    top = max(2.0, axes.get_ylim()[1])
    _impossible(axes, lengths, [1.0] * len(lengths), top)
    axes.set_ylim(top=top)
    _ticks(axes)
    return figure


def _draw(
    axes: Axes,
    name: str,
    curve: Sequence[Row],
    values: Sequence[float],
    words: Sequence[str],
    look: Style,
    *,
    noise: bool = True,
    shift: float = 1,
) -> None:
    """A curve with its points; those of noisy times are hollow."""
    xs = [shift * (row.T or 0) for row in curve]
    hint(axes.plot(xs, values, **look.curve)[0], name)
    for row, x, value, said in zip(curve, xs, values, words, strict=True):
        face = PAPER if noise and row.is_noisy else look.colour
        (point,) = axes.plot([x], [value], color=look.colour, markerfacecolor=face, **look.point)
        hint(point, f"{name}, T = {row.T}: {said}")


def _impossible(axes: Axes, lengths: Sequence[int], ceiling: Sequence[float], edge: float) -> None:
    """Shade what lies between a ceiling and an edge of the picture."""
    axes.plot(lengths, ceiling, color=MUTED, linestyle=":", linewidth=1.2)
    area = axes.fill_between(lengths, ceiling, edge, color=MUTED, alpha=0.18, linewidth=0)
    hint(area, "impossible on this machine")


def _axes(rows: Sequence[Row], label: Callable[[float], str]) -> tuple[Figure, Axes]:
    figure, axes = new_axes(xlabel="T, tokens")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(_lengths(rows)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: label(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    return figure, axes


def _ticks(axes: Axes) -> None:
    """Over less than two decades, mark 2 and 5 as well."""
    bottom, top = axes.get_ylim()
    if top / bottom < 100:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))


def _curves(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Answer -> its rows in the order of T."""
    curves: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.T or 0):
        curves.setdefault(row.name, []).append(row)
    return curves


def _lengths(rows: Sequence[Row]) -> list[int]:
    return sorted({row.T for row in rows if row.T is not None})
