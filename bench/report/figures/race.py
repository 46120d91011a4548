"""How often was each cell run, and after which look did it leave the race?"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from bench.drawing import Panel, Picture, hint
from bench.drawing.style import INK, MUTED
from bench.ledger.outcome import Outcome
from bench.report.figures.labels import LABEL_SIZE
from bench.report.figures.rows import MOST_ROWS, new_rows
from bench.report.story import Story


def race(story: Story) -> Picture | None:
    """A row a cell, a dot a seed; None where there was no race, or it ended at its first look."""
    data = race_data(story)
    if data.empty or data.key.nunique() < 2 or not is_race(story):
        return None
    dropped = stopped(story, data)
    looks = sorted({look.n_seeds for look in story.standings.looks})
    return Picture(
        name="seeds-of-cells",
        title=_say(data, dropped),
        panels=[Panel(figure=_panel(story, data, dropped, looks))],
        data=data,
        note=" ".join(filter(None, _notes(story, data, dropped))),
    )


def is_race(story: Story) -> bool:
    """Whether cells could be dropped: they were looked at more than once, at seeds not fixed.

    A search's own looks are not those of its finals.
    """
    fixed = len(story.about.looks) == 1 and story.searched is None
    return len({look.n_seeds for look in story.standings.looks}) > 1 and not fixed


def stopped(story: Story, data: pd.DataFrame) -> dict[str, int]:
    """Cell that got fewer seeds than others since one was better -> its seeds at that look."""
    got = data.groupby("key").turn.max()
    dropped = story.standings.race.dropped
    return {key: n for key, n in dropped.items() if got[key] <= n < got.max()}


def _notes(story: Story, data: pd.DataFrame, dropped: Mapping[str, int]) -> list[str]:
    failed = bool((data.outcome != Outcome.COMPLETE.value).any())
    marks = "Dots are complete runs" + ", crosses before the end of a row others" * failed
    return [
        f"{marks}. Upright lines are looks at the runs until then.",
        "The cross behind a row is where another cell was shown to be better, so that it got no "
        "further seeds." * bool(dropped),
        "The runs that measured the best again are not among them." * bool(story.confirmation),
    ]


def race_data(story: Story) -> pd.DataFrame:
    """A row a run: its cell, its seed, the how-manieth seed that is, outcome, and the drop.

    `dropped_after` is the number of seeds at the look after which the cell left the race.
    """
    entries = story.standings.entries
    turns = {s: i for i, s in enumerate(sorted({e.config.train.seed for e in entries}), start=1)}
    dropped = story.standings.race.dropped
    rows = pd.DataFrame(
        {
            "key": entry.cell,
            "cell": story.names[entry.cell],
            "seed": entry.config.train.seed,
            "turn": turns[entry.config.train.seed],
            "outcome": entry.outcome.value,
            "dropped_after": dropped.get(entry.cell),
        }
        for entry in entries
    )
    if not rows.empty:
        rows["dropped_after"] = rows.dropped_after.astype("Int64")
    return rows


def _say(data: pd.DataFrame, dropped: Mapping[str, int]) -> str:
    n_cells = data.key.nunique()
    if not dropped:
        return f"{len(data)} runs of {n_cells} cells, none of which was dropped early."
    n_saved = n_cells * int(data.turn.max()) - len(data)
    saved = f", which saved {n_saved} of {n_saved + len(data)} runs" if n_saved > 0 else ""
    were = "was" if len(dropped) == 1 else "were"
    return f"{len(dropped)} of {n_cells} cells {were} dropped early{saved}."


def _panel(
    story: Story, data: pd.DataFrame, dropped: Mapping[str, int], looks: list[int]
) -> Figure:
    begun = list(dict.fromkeys(data.key))
    others = [key for key in begun if key not in story.order]
    rows = [key for key in [*story.order, *others] if key in begun][:MOST_ROWS]
    most = int(data.turn.max())
    names, label = [story.names[key] for key in rows], "seeds that a cell was run with"
    figure, axes = new_rows(names, xlabel=label, width=5.4)
    axes.set_xlim(0.4, most + 0.9)
    axes.set_xticks(range(1, most + 1))
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
    for n_seeds in looks:
        axes.axvline(n_seeds + 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (3, 2)), zorder=0)
    for i, key in enumerate(rows):
        style, runs = story.styles[key], data[data.key == key]
        complete = runs[runs.outcome == Outcome.COMPLETE.value]
        lost = runs[runs.outcome != Outcome.COMPLETE.value]
        (dots,) = axes.plot(
            complete.turn, [i] * len(complete), linestyle="", color=style.colour, **style.point
        )
        axes.plot(lost.turn, [i] * len(lost), "x", color=MUTED, markersize=5.5)
        said = f"{story.names[key]}: {len(complete)} complete runs"
        if key in dropped:
            said += f", dropped after {dropped[key]} seeds"
            axes.plot([dropped[key] + 0.5], [i], "x", color=INK, markersize=6, mew=1.6)
        if len(lost):
            said += f", {len(lost)} others ({', '.join(dict.fromkeys(lost.outcome))})"
        hint(dots, said)
        word = f"dropped after {dropped[key]}" if key in dropped else "ran to the end"
        if key not in story.standings.merits:
            word = "not ranked"
        axes.text(
            1.02, i, word, transform=axes.get_yaxis_transform(), va="center",
            fontsize=LABEL_SIZE, color=INK if word == "ran to the end" else MUTED,
        )  # fmt: skip
    return figure
