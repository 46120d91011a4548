"""The numbers of runs as tables, a row a run."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from bench.conclude.leaderboard import say_verdict
from bench.conclude.remarks import is_known
from bench.conclude.standings import Standings
from bench.metrics import RELATIVE, Metric
from bench.report.story import Story


def runs_of(standings: Standings) -> pd.DataFrame:
    """A row a complete run: key, cell (its name), seed, ranked, then its final numbers."""
    ranked = {entry.cell for entry in standings.ranked}
    return pd.DataFrame(
        {
            "key": entry.cell,
            "cell": standings.names[entry.cell],
            "seed": entry.config.train.seed,
            "ranked": entry.cell in ranked,
            **entry.summary,
        }
        for entry in standings.complete
    )


def board_data(story: Story) -> pd.DataFrame:
    """A row a run with a finite value; what is said of a cell is repeated in each of its rows."""
    standings, metric = story.standings, story.about.metric
    runs = runs_of(standings)
    if runs.empty:
        return runs
    runs = runs.loc[np.isfinite(runs[metric]), ["key", "cell", "seed", metric, "ranked"]].copy()
    runs["mean"] = runs.groupby("key")[metric].transform(mean_of(metric))
    leads = standings.leads
    runs["behind"] = [leads[key].mean if key in leads else math.nan for key in runs.key]
    known = {key: lead.interval for key, lead in leads.items() if is_known(metric, lead)}
    nothing = (math.nan, math.nan)
    runs["behind_low"], runs["behind_high"] = zip(
        *(known.get(key, nothing) for key in runs.key), strict=True
    )
    if metric in RELATIVE:  # differences of logarithms
        runs[["behind", "behind_low", "behind_high"]] = np.exp(
            runs[["behind", "behind_low", "behind_high"]]
        )
        runs = runs.rename(columns=lambda name: name.replace("behind", "best_ahead_times"))
    judged = len(story.names) > 1
    runs["verdict"] = [say_verdict(key, standings) if judged else "" for key in runs.key]
    order = {key: i for i, key in enumerate(story.order)}
    return runs.sort_values(["key", "seed"], key=lambda c: c.map(order) if c.name == "key" else c)


def mean_of(metric: Metric) -> Callable[[pd.Series], float] | str:
    """How runs are averaged: geometrically where they are compared by ratios."""
    if metric in RELATIVE:
        return lambda values: math.exp(np.log(values).mean())
    return "mean"
