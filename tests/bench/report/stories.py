"""Studies with made-up runs, as a report sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from boards import standings
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.conclude.standings import Standings
from bench.drawing import Picture
from bench.ledger.ledger import Entry
from bench.metrics import Metric
from bench.plan.about import About
from bench.report.story import Story
from bench.results import Runs


def story(
    runs: Sequence[Entry] | Standings,
    metric: Metric = "val_bits_per_byte",
    *,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    curves: pd.DataFrame | None = None,
    searched: optuna.Study | None = None,
) -> Story:
    """The story of these runs, at one look unless they come with their standings.

    Args:
        params: name of a cell -> parameter -> value.
        curves: what `Runs.curves` gives.
    """
    found = runs if isinstance(runs, Standings) else standings(list(runs), metric)
    keys = {name: key for key, name in found.names.items()}
    about = About(
        title="made up", name="made_up", question="Which?", description="", metric=found.metric,
        matters=None, command="python -m bench.study made_up",
        params={keys[name]: of_cell for name, of_cell in (params or {}).items()},
    )  # fmt: skip
    told = Story(
        name="made_up", about=about, standings=found, runs=Runs(), searched=searched, dropped=[],
        before_finals=[], confirmation="", folder=Path(),
    )  # fmt: skip
    told.__dict__["curves"] = pd.DataFrame() if curves is None else curves
    return told


def axes_of(picture: Picture | None, panel: int = 0) -> Axes:
    """The axes of one of its panels."""
    assert picture is not None
    return picture.panels[panel].figure.axes[0]


def words_of(axes: Axes) -> list[str]:
    """The texts within axes, on one line each."""
    return [" ".join(text.get_text().split()) for text in axes.texts if text.get_text()]


def rows_of(axes: Axes) -> list[str]:
    """What stands at the left of the rows, from the top."""
    return [" ".join(label.get_text().split()) for label in axes.get_yticklabels()]


def dots(axes: Axes, marker: str | None = None) -> list[tuple[float, float]]:
    """The places of all markers, or of those of one kind."""
    return [
        (float(x), float(y))
        for line in _marked(axes)
        if marker is None or line.get_marker() == marker
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def _marked(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_marker() not in ("None", "", None)]


def of_seeds(entries: Sequence[Entry], **n_seeds: int) -> list[Entry]:
    """The runs, without the later seeds of the cells named."""
    return [e for e in entries if e.config.train.seed < n_seeds.get(e.label, 99)]


def with_numbers(entry: Entry, **numbers: float) -> Entry:
    """The same run with these final numbers."""
    return replace(entry, summary={**entry.summary, **numbers})
