"""How bits per byte fall: against the text that was read, the seconds, and the computation."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.conclude.doubts import listed
from bench.conclude.times import are_told_apart
from bench.drawing import Panel, Picture, hint, new_axes
from bench.drawing.style import MUTED
from bench.report.figures.board import runs_of
from bench.report.figures.labels import label_ends
from bench.report.figures.quantities import WIDE, Quantity, make_log
from bench.report.story import Story

VALUE = "val_part/bpb"

SPENT = {
    "with the same text": Quantity(column="train/bytes", name="text read", unit="B"),
    "in the same time": Quantity(column="train/seconds", name="training time", unit="s"),
    "with the same computation": Quantity(column="train/flops", name="computation", unit="FLOP"),
}

LEAST_SAID = 0.001
"""Bits per byte by which ends may differ from the final numbers without a word."""

FEWEST_POINTS = 3
"""A curve of fewer points says nothing."""

ALL_NAMED = 7
"""So many cells can be told apart; of more, some are grey."""

BEST_NAMED = 4
"""Of many cells the best ones that are not grey, beside the first and the last."""


def curves(story: Story) -> Picture | None:
    """Three panels; None where no run has a curve."""
    data = curve_data(story)
    if data.empty:
        return None
    shown = coloured([key for key in story.order if key in set(data.key)], story)
    panels, lowest = [], {}
    for how, quantity in SPENT.items():
        if data[quantity.column].notna().any():
            panels.append(Panel(figure=_panel(story, data, shown, quantity), title=how))
            order = order_at_the_same(data, quantity.column)
            if quantity.column != "train/seconds" or _is_timed(story, order):
                lowest[how] = order[0]
    n_grey = data.key.nunique() - len(shown)
    clipped = data["mean"].max() > _top(data)
    notes = [
        "Lines are means over the seeds, bands reach from the lowest to the highest seed.",
        "The title compares the cells where the first of them ends: the others still learn at a "
        "higher rate there, which is to their disadvantage.",
        "The first evaluations lie above the picture." if clipped else "",
        f"Coloured are the best {BEST_NAMED}, the first that was begun and the last in order; the "
        f"{n_grey} others are grey, and the pointer shows their names."
        if n_grey
        else "",
    ]
    return Picture(
        name="learning-curves",
        title=f"{_say_lowest(lowest, story.names)} {_say_part(story, data)}",
        panels=panels,
        data=data,
        note=" ".join(filter(None, notes)),
    )


def curve_data(story: Story) -> pd.DataFrame:
    """A row an evaluation of a cell: what was spent until then, and mean, low and high of seeds.

    An evaluation counts where all seeds of its cell have it, for otherwise the mean would jump.
    """
    columns = [quantity.column for quantity in SPENT.values()]
    points = story.curves
    if VALUE not in points.columns:
        return pd.DataFrame()
    complete = {(entry.cell, entry.config.train.seed) for entry in story.standings.complete}
    points = points[points[VALUE].notna()]
    counts = [run in complete for run in zip(points.cell_key, points.seed, strict=True)]
    points = points[counts].reindex(columns=["cell_key", "seed", "step", VALUE, *columns])
    points["evaluation"] = points.groupby(["cell_key", "seed"]).cumcount() + 1
    seeds = points.groupby("cell_key").seed.transform("nunique")
    found = points.groupby(["cell_key", "evaluation"]).agg(
        seeds=("seed", "size"),
        **{column: (column, "mean") for column in columns},
        mean=(VALUE, "mean"),
        low=(VALUE, "min"),
        high=(VALUE, "max"),
    )
    found = found.reset_index().rename(columns={"cell_key": "key"})
    n_seeds = seeds.groupby(points.cell_key).first()
    found = found[found.seeds == found.key.map(n_seeds)]
    found = found[found.groupby("key").evaluation.transform("size") >= FEWEST_POINTS]
    found.insert(1, "cell", found.key.map(dict(story.names)))
    return found


def coloured(order: Sequence[str], story: Story) -> list[str]:
    """The cells that are not grey: of many the best few, the last one, and the first begun."""
    if len(order) <= ALL_NAMED:
        return list(order)
    first = next((key for key in story.styles if key in order), order[0])
    return list(dict.fromkeys([*order[:BEST_NAMED], first, order[-1]]))


def _is_timed(story: Story, order: Sequence[str]) -> bool:
    """Whether seconds tell the first of these cells from each other one, or are the budget."""
    if {entry.config.train.budget.unit for entry in story.standings.complete} == {"seconds"}:
        return True
    first, *others = order
    return all(are_told_apart(story.standings, "train_seconds", first, key) for key in others)


def order_at_the_same(data: pd.DataFrame, column: str) -> list[str]:
    """Keys, the lowest first when all had spent what the thriftiest had in the end."""
    spent = data.groupby("key")[column].max().min()
    values = {
        key: float(np.interp(spent, of_cell[column], of_cell["mean"], left=math.inf))
        for key, of_cell in data.groupby("key", sort=False)
    }
    return sorted(values, key=values.__getitem__)


def _say_lowest(lowest: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Whose mean is lowest; whether that is more than luck, the verdicts say."""
    hows: dict[str, list[str]] = {}
    for how, key in lowest.items():
        hows.setdefault(names[key], []).append(how)
    said = [f"{who} {listed(where)}" for who, where in hows.items()]
    return f"Lowest mean: {'; '.join(said)}." if said else "How bits per byte fall."


def _say_part(story: Story, data: pd.DataFrame) -> str:
    """That the curves are of a part of the text alone, and how far their ends are from all of it.

    Every evaluation reads this part, the final one all.
    """
    ends = data.groupby("key", sort=False)["mean"].last()
    finals = runs_of(story.standings).groupby("key").val_bits_per_byte.mean()[ends.index]
    off = float((ends - finals).abs().max())
    order = list(ends.sort_values().index) != list(finals.sort_values().index)
    said = f"; their ends are up to {off:.3f} from the final numbers" if off >= LEAST_SAID else ""
    said += ", and in another order" * (order and bool(said))
    return f"Curves are of a part of the validation text{said}."


def _top(data: pd.DataFrame) -> float:
    """The upper end of the axis: above all ends, and above a third of a typical curve."""
    ends = data.groupby("key")["mean"].last()
    early = data.groupby("key")["mean"].agg(lambda values: values.iloc[len(values) // 3])
    return float(max(ends.max() + 0.15 * (ends.max() - ends.min()), early.median()))


def _panel(story: Story, data: pd.DataFrame, shown: Sequence[str], quantity: Quantity) -> Figure:
    ends = data.groupby("key")[quantity.column].max()
    divisor, unit = quantity.scale(float(ends.max()))
    figure, axes = new_axes(
        xlabel=quantity.label(unit), ylabel="bits per byte, part of validation", width=5.1
    )
    bottom, top = float(data.low.min()), _top(data)
    pad = 0.04 * (top - bottom)
    axes.set_ylim(bottom - pad, top + pad)
    if ends.max() > WIDE * ends.min():
        make_log(axes, float(data[quantity.column].max() / data[quantity.column].min()))
    else:
        axes.set_xlim(0, float(ends.max()) / divisor * 1.01)
    last = {}
    others = [key for key in data.key.unique() if key not in shown]
    for key in [*others, *reversed(shown)]:
        points = data[data.key == key]
        x, style = points[quantity.column] / divisor, story.styles[key]
        if key in shown:
            axes.fill_between(x, points.low, points.high, color=style.colour, alpha=0.18, lw=0)
        look = style.curve if key in shown else {"color": MUTED, "linewidth": 1, "alpha": 0.5}
        (line,) = axes.plot(x, points["mean"], **look)
        end = points.iloc[-1]
        hint(
            line,
            f"{story.names[key]}: {end['mean']:.4f} bits per byte after "
            f"{quantity.say(end[quantity.column])}, {end.seeds:.0f} seeds "
            f"({end.low:.4f} to {end.high:.4f})",
        )
        if key in shown:
            last[key] = (float(x.iloc[-1]), float(end["mean"]))
    named = {story.names[key]: last[key] for key in shown}
    label_ends(axes, named, {story.names[key]: story.styles[key] for key in shown})
    return figure
