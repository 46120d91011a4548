"""What did a search learn of its parameters? How much each matters, and where the good values lie.

The numbers are Optuna's own, so that they agree with its dashboard.
"""

import warnings
from typing import Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection

from bench.drawing import Panel, Picture, hint, new_axes
from bench.drawing.style import COLOURS, INK, MUTED
from bench.metrics import TITLES, Metric, say_value
from bench.report.figures.labels import LABEL_SIZE, fold
from bench.report.figures.quantities import make_log
from bench.report.figures.rows import new_rows
from bench.report.figures.trials import Distribution, Trials, limits_of, say_point, trials_of
from bench.report.story import Story

MANY_TRIALS = 50
"""With fewer, Optuna's importance rests on fewer than five good trials and is doubtful."""

MOST_SLICES = 9
"""Panels of the parameters that matter most."""

GOOD, BEST = COLOURS[0], COLOURS[1]


def importances(search: optuna.Study) -> dict[str, float]:
    """Parameter -> Optuna's importance, largest first; empty for fewer than two complete trials.

    The evaluator is the default one of Optuna 5 and that of its dashboard; nothing in it is drawn
    by lot.
    """
    if len(trials_of(search).complete) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # in Optuna 4
        return get_param_importances(search, evaluator=PedAnovaImportanceEvaluator())


def importance(story: Story) -> Picture | None:
    """A bar a parameter; None for a grid, or where Optuna has too little to go by."""
    if story.searched is None or len(found := importances(story.searched)) < 2:
        return None
    names, values = list(found), list(found.values())
    figure, axes = new_rows(names, xlabel="importance (all together are 1)")
    axes.set_xlim(0, 1.15 * max(values))
    for i, (name, value) in enumerate(found.items()):
        (bar,) = axes.barh([i], [value], height=0.62, color=GOOD)
        hint(bar, f"{name}: {value:.4f}")
        axes.text(
            value + 0.015 * max(values), i, f"{value:.2f}" if value >= 0.01 else "<0.01",
            va="center", color=INK, fontsize=LABEL_SIZE,
        )  # fmt: skip
    n_trials = len(trials_of(story.searched).complete)
    few = n_trials < MANY_TRIALS
    doubt = f" By {n_trials} trials that is a hint at most." if few else ""
    return Picture(
        name="importance",
        title=f"{names[0]} {'seems to matter' if few else 'matters'} most.",
        panels=[Panel(figure=figure)],
        data=pd.DataFrame({"parameter": names, "importance": values}),
        note="Optuna's importance (PED-ANOVA, the evaluator of Optuna's dashboard): which "
        f"parameters tell the best tenth of the {n_trials} complete trials from the others."
        + doubt,
    )


def slices(story: Story) -> Picture | None:
    """A panel a parameter, a dot a trial; None for a grid, or without complete trials."""
    if story.searched is None:
        return None
    found = trials_of(story.searched)
    if not found.complete or not found.distributions:
        return None
    matter = list(importances(story.searched))
    names = [*matter, *(name for name in found.distributions if name not in matter)]
    names = names[:MOST_SLICES]
    panels = [Panel(figure=_slice(story.about.metric, story.searched, found, n)) for n in names]
    where = say_point({name: found.best.params.get(name) for name in names[:3]})
    value = say_value(story.about.metric, found.values[found.best.number])
    out_of = f"{len(found.complete)} complete trial{'s' * (len(found.complete) != 1)}"
    return Picture(
        name="slices",
        title=f"The best of {out_of} has {value}, at {where}.",
        panels=panels,
        data=found.table(story.about.metric),
        note="A dot is a complete trial of one seed, the star is the best. Crosses above were "
        "stopped early by the pruner, and circles there ended without a number. Triangles at an "
        "edge lie beyond it. The best of many trials is best by luck too.",
    )


def _slice(metric: Metric, search: optuna.Study, found: Trials, name: str) -> Figure:
    figure, axes = new_axes(width=4.0, height=3.2, xlabel=name, ylabel=TITLES[metric])
    distribution = found.distributions[name]
    smaller = search.direction is StudyDirection.MINIMIZE
    low, high = limits_of(list(found.values.values()), smaller=smaller)
    axes.set_ylim(low, high)
    _scale(axes, distribution)
    for trial in found.complete:
        if name not in trial.params:
            continue
        x, y = _along(distribution, trial.params[name]), found.values[trial.number]
        beyond = not low <= y <= high
        marker = "^" if y > high else "v" if y < low else "o"
        looks: dict[str, Any] = {"marker": marker, "color": GOOD, "markersize": 4.5, "alpha": 0.9}
        if trial.number == found.best.number:
            looks = {"marker": "*", "color": BEST, "markersize": 11, "zorder": 3}
        edge = 0.02 * (high - low)
        y = float(np.clip(y, low + edge, high - edge)) if beyond else y
        (dot,) = axes.plot([x], [y], linestyle="", markeredgewidth=0, **looks)
        value = say_value(metric, found.values[trial.number])
        hint(dot, f"trial {trial.number}: {value}, {say_point(trial.params)}")
    for others, marker in ((found.pruned, "x"), (found.lost, "o")):
        places = [
            _along(distribution, trial.params[name]) for trial in others if name in trial.params
        ]
        axes.plot(
            places, [1.05] * len(places), marker, transform=axes.get_xaxis_transform(),
            clip_on=False, color=MUTED, markersize=4.5, markerfacecolor="none",
        )  # fmt: skip
    return figure


def _scale(axes: Axes, distribution: Distribution) -> None:
    if isinstance(distribution, CategoricalDistribution):
        n = len(distribution.choices)
        axes.set_xlim(-0.5, n - 0.5)
        axes.set_xticks(range(n), [fold(str(choice), 9) for choice in distribution.choices])
        return
    low, high = distribution.low, distribution.high
    if distribution.log:
        make_log(axes, high / low)
        margin = (high / low) ** 0.04
        axes.set_xlim(low / margin, high * margin)
    elif high > low:
        axes.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))


def _along(distribution: Distribution, value: Any) -> float:
    """Where a parameter's value stands on its axis."""
    if isinstance(distribution, CategoricalDistribution):
        return float(distribution.choices.index(value))
    return float(value)
