"""How fast do devices and precisions train?"""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter

from bench.drawing import Panel, Picture, hint
from bench.drawing.style import COLOURS, INK, MUTED
from bench.report.figures.labels import LABEL_SIZE
from bench.report.figures.rows import MOST_ROWS, new_rows
from bench.report.story import Story

SPEED = "tokens_per_second"

DTYPE_COLOURS = {"float32": COLOURS[0], "bfloat16": COLOURS[8], "float16": COLOURS[2]}
"""Colours mean precisions here; the rows are named."""


def machines(story: Story) -> Picture | None:
    """A bar a cell; None where all run on one device in one precision."""
    data = machine_data(story)
    if data.empty or len(data[["device", "dtype"]].drop_duplicates()) < 2:
        return None
    if not data[SPEED].notna().any():
        return None
    bars = data.groupby("key", sort=False).agg(
        cell=("cell", "first"),
        device=("device", "first"),
        dtype=("dtype", "first"),
        outcome=("outcome", "first"),
        mean=(SPEED, lambda values: np.exp(np.log(values).mean())),
        low=(SPEED, "min"),
        high=(SPEED, "max"),
    )
    bars = bars.sort_values("mean", ascending=False, kind="stable").head(MOST_ROWS)
    return Picture(
        name="machines",
        title=_say(bars),
        panels=[Panel(figure=_panel(bars))],
        data=data,
        note="Geometric means over the seeds; lines reach from the slowest to the fastest run.",
    )


def machine_data(story: Story) -> pd.DataFrame:
    """A row a run: its cell, device, precision, outcome, and tokens per second if it has them."""
    return pd.DataFrame(
        {
            "key": entry.cell,
            "cell": story.names[entry.cell],
            "seed": entry.config.train.seed,
            "device": entry.config.train.device,
            "dtype": entry.config.train.dtype,
            "outcome": entry.outcome.value,
            SPEED: entry.summary.get(SPEED, math.nan),
        }
        for entry in story.standings.entries
    )


def _say(bars: pd.DataFrame) -> str:
    ran = bars[bars["mean"].notna()]
    fastest, slowest = ran.iloc[0], ran.iloc[-1]
    said = f"On average {fastest.cell} trains fastest, at {fastest['mean']:,.0f} tokens per second"
    if len(ran) > 1:
        said += f": {fastest['mean'] / slowest['mean']:.3g} × as fast as {slowest.cell}"
    missing = len(bars) - len(ran)
    return said + (f"; {missing} could not be run." if missing else ".")


def _panel(bars: pd.DataFrame) -> Figure:
    label = "tokens per second (higher is better)"
    figure, axes = new_rows(list(bars.cell), xlabel=label, width=5.8, beside=1.1)
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    furthest = float(bars.high.max())
    axes.set_xlim(0, 1.22 * furthest)
    for i, bar in enumerate(bars.itertuples()):
        if not bar.mean > 0:  # NaN too
            axes.text(
                0.012 * furthest, i, bar.outcome, va="center", color=MUTED, fontsize=LABEL_SIZE
            )
            continue
        colour = DTYPE_COLOURS.get(bar.dtype, COLOURS[9])
        (patch,) = axes.barh([i], [bar.mean], height=0.66, color=colour)
        hint(patch, f"{bar.cell}: {bar.mean:,.0f} tokens/s ({bar.low:,.0f} to {bar.high:,.0f})")
        axes.plot([bar.low, bar.high], [i, i], color=INK, linewidth=1.2)
        axes.text(
            bar.high + 0.012 * furthest, i, f"{bar.mean:,.0f}", va="center", color=INK,
            fontsize=LABEL_SIZE,
        )  # fmt: skip
    dtypes = [
        dtype
        for dtype in dict.fromkeys(bars.dtype)
        if bars[bars.dtype == dtype]["mean"].notna().any()
    ]
    handles = [Patch(color=DTYPE_COLOURS.get(dtype, COLOURS[9]), label=dtype) for dtype in dtypes]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=LABEL_SIZE,
        labelcolor=INK, handlelength=1.2,
    )  # fmt: skip
    return figure
