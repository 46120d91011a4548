"""The trials of a search as lines through the axes of their parameters, to their value."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from bench.drawing import Panel, Picture, hint, new_axes
from bench.drawing.style import COLOURS, INK, MUTED
from bench.metrics import TITLES, say_value
from bench.report.figures.labels import LABEL_SIZE, fold
from bench.report.figures.search import importances
from bench.report.figures.trials import Distribution, Trials, limits_of, say_point, trials_of
from bench.report.story import Story

MOST_LINES = 200
"""Of more complete trials, the best."""


def parallel(story: Story) -> Picture | None:
    """None for a grid, and for a search of one parameter or with fewer than two trials."""
    if story.searched is None:
        return None
    found = trials_of(story.searched)
    if len(found.complete) < 2 or len(found.distributions) < 2:
        return None
    matter = list(importances(story.searched))
    names = [*(n for n in found.distributions if n not in matter), *reversed(matter)]
    metric = story.about.metric
    figure, axes = new_axes(width=min(2.0 + 1.5 * len(names), 9.2), height=3.8)
    limits = limits_of(list(found.values.values()), smaller=found.smaller)
    _axes_of(axes, names, found, TITLES[metric], limits)
    drawn = found.ordered[:MOST_LINES]
    for trial in found.pruned[:MOST_LINES]:
        axes.plot(
            range(len(names)), heights(trial, names, found), color=MUTED, lw=0.8, alpha=0.5,
            linestyle=(0, (2, 2)),
        )  # fmt: skip
    for rank, trial in reversed(list(enumerate(drawn))):
        value = found.values[trial.number]
        end = (min(max(value, limits[0]), limits[1]) - limits[0]) / (limits[1] - limits[0])
        strength = 0.85 - 0.65 * rank / max(1, len(drawn) - 1)
        look: dict[str, Any] = {"color": COLOURS[0], "lw": 1.3, "alpha": strength}
        if rank == 0:
            look = {"color": COLOURS[1], "lw": 2.2}
        (line,) = axes.plot(range(len(names) + 1), [*heights(trial, names, found), end], **look)
        said = f"{say_value(metric, value)}, {say_point(trial.params)}"
        hint(line, f"trial {trial.number}: {said}")
    good = drawn[: max(2, math.ceil(len(drawn) / 4))]
    return Picture(
        name="parallel-coordinates",
        title=_say_good(good, names, found),
        panels=[Panel(figure=figure)],
        data=found.table(metric),
        note="A line is a trial: from its parameters, the one that matters most last, to its "
        f"{TITLES[metric]}. Red: the best; the fainter, the worse; dotted: stopped early.",
    )


def heights(trial: FrozenTrial, names: Sequence[str], found: Trials) -> list[float]:
    """Where a trial's values stand on their axes, from 0 to 1; NaN for a parameter it lacks."""
    return [
        height(found.distributions[name], trial.params[name]) if name in trial.params else np.nan
        for name in names
    ]


def height(distribution: Distribution, value: Any) -> float:
    """Where a value stands on an axis that goes from 0 to 1; on a log scale if it was drawn so."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices.index(value) / max(1, len(distribution.choices) - 1)
    low, high = float(distribution.low), float(distribution.high)
    if high <= low:
        return 0.5
    if distribution.log:
        return math.log(value / low) / math.log(high / low)
    return (float(value) - low) / (high - low)


def _say_good(good: Sequence[FrozenTrial], names: Sequence[str], found: Trials) -> str:
    """In which range the good trials lie, of the parameter that matters most."""
    name = names[-1]
    values = [trial.params[name] for trial in good if name in trial.params]
    if isinstance(found.distributions[name], CategoricalDistribution) or not values:
        there = ", ".join(dict.fromkeys(str(value) for value in values)) or "none"
        return f"The best {len(good)} trials have {name}: {there}."
    low, high = min(values), max(values)
    return f"The best {len(good)} trials have {name} between {low:.3g} and {high:.3g}."


def _axes_of(
    axes: Axes, names: Sequence[str], found: Trials, title: str, limits: tuple[float, float]
) -> None:
    """An upright axis a parameter, and one for the value, each with its ends."""
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(-0.25, len(names) + 0.3)
    axes.set_xticks(range(len(names) + 1), [fold(name, 18) for name in (*names, title)])
    for place, name in enumerate(names):
        distribution = found.distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            marks = {height(distribution, c): fold(str(c), 12) for c in distribution.choices}
        else:
            low, high = float(distribution.low), float(distribution.high)
            middle = math.sqrt(low * high) if distribution.log else (low + high) / 2
            marks = {height(distribution, at): f"{at:.3g}" for at in (low, middle, high)}
        _ruler(axes, place, marks)
    middle = sum(limits) / 2
    _ruler(
        axes, len(names), {0.0: f"{limits[0]:.4g}", 0.5: f"{middle:.4g}", 1.0: f"{limits[1]:.4g}"}
    )


def _ruler(axes: Axes, place: float, marks: dict[float, str]) -> None:
    axes.plot([place, place], [0, 1], color=MUTED, linewidth=1, zorder=0)
    for at, words in marks.items():
        axes.annotate(
            words, (place, at), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=LABEL_SIZE, color=INK, linespacing=1.0,
        )  # fmt: skip
