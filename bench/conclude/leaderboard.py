"""What may be concluded? The cells in order, what is remarked of them, and what is missing."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from bench.cells.grid import Dropped
from bench.conclude.remarks import remarks, say_interval, say_level
from bench.conclude.standings import Standings, names_of
from bench.conclude.stats import Verdict
from bench.conclude.summary import summarize
from bench.ledger.ledger import Entry
from bench.ledger.outcome import Outcome
from bench.metrics import Metric, say_count, say_number
from bench.system.fitted_table import Fitted
from gpt.config import Budget

RANKED_BY: dict[Metric, str] = {
    "val_bits_per_byte": "bits/byte",
    "val_loss": "loss",
    "tokens_per_second": "tokens/s",
    "seconds_to_target": "train s",
}
"""Metric -> the column that holds it."""

BEHIND = "behind the best"
"""How the column of intervals is headed, before their level."""

OPTIONS = (
    "Options: --seeds takes more seeds, --matters says what matters, --workers 1 times runs alone."
)
"""A terminal's last line; a reader of a report can't use it."""

LEAST_FIRST = ("steps", "context", "loss", "tokens/s", "params", "train s", "bits/byte")
"""Columns that a narrow terminal does without, but for the one that ranks. Seconds stay longest:
they are what a cell costs, and tokens of unlike tokenizers are no measure of it."""


def show(name: str, standings: Standings, dropped: Sequence[Dropped]) -> RenderableType:
    """The leaderboard, what it does and doesn't tell, and what is missing from it."""
    cells = summarize(standings)
    parts: list[RenderableType] = []
    if not cells.empty:
        said = (Text(remark, style="dim") for remark in remarks(standings))
        parts = [_table(name, cells, standings), *said]
        if standings.leads:
            parts.append(Text(OPTIONS, style="dim"))
    if gaps := say_gaps(standings.entries, dropped):
        parts += [Text("Not complete:", style="bold"), *(Text(f"  {gap}") for gap in gaps)]
    return Group(*parts)


def show_budgets(standings: Mapping[str, Standings]) -> RenderableType:
    """Who leads under each budget, and whether that hangs on the budget."""
    leaders = {budget: _leader(standing) for budget, standing in standings.items()}
    verdicts = {
        budget: standing.verdicts[standing.order[0]] if standing.leads else ""
        for budget, standing in standings.items()
    }
    table = Fitted(
        title="by budget",
        columns={
            "budget": list(standings),
            "leads": [name for _, name in leaders.values()],
            "verdict": list(verdicts.values()),
        },
        words=("budget", "leads", "verdict"),
        spare=(),
    )
    return Group(table, Text(_say_change(leaders, verdicts), style="dim"))


def _leader(standings: Standings) -> tuple[str, str]:
    """The key that the leading cell has whatever its budget, and its name; "" if there is none."""
    if not standings.leads:
        return "", "not ranked"
    best = standings.order[0]
    config = next(entry.config for entry in standings.ranked if entry.cell == best)
    train = dataclasses.replace(config.train, budget=Budget(steps=1))
    return config.replace(train=train).cell_key, standings.names[best]


def _say_change(leaders: Mapping[str, tuple[str, str]], verdicts: Mapping[str, str]) -> str:
    unranked = [budget for budget, (key, _) in leaders.items() if not key]
    if unranked:
        return f"Not ranked under {', '.join(unranked)}: whether the leader changes is not known."
    if len({key for key, _ in leaders.values()}) == 1:
        _, name = next(iter(leaders.values()))
        return f"{name} leads under every one of these budgets."
    if set(verdicts.values()) == {Verdict.BETTER}:
        return "The leader changes with the budget: say which one a claim is about."
    return (
        "Another leads under another budget, but not every lead is beyond doubt: whether the best "
        "changes with the budget is undetermined."
    )


def columns_of(cells: pd.DataFrame, standings: Standings) -> dict[str, list[str]]:
    """Heading -> what stands below it, a text for each row of `summarize`.

    A heading's second line is what it adds in brackets.
    """
    rows = list(cells.itertuples())
    columns = {
        "cell": [f"{row.cell} ({row.flags})" if row.flags else row.cell for row in rows],
        "bits/byte": [
            f"{row.bits_per_byte:.3f}" + (f" ±{row.spread:.3f}" if row.seeds > 1 else "")
            for row in rows
        ],
        "loss": [f"{row.loss:.3f}" for row in rows],
        "train s": [f"{row.train_seconds:.1f}" for row in rows],
        "params": [say_count(row.n_params) for row in rows],
        "tokens/s": [f"{row.tokens_per_second:,.0f}" for row in rows],
        "context": [f"{row.context_bytes:.0f} B" for row in rows],
        "steps": [f"{row.n_steps:.0f}" for row in rows],
    }
    intervals = any(math.isfinite(lead.margin) for lead in standings.leads.values())
    level = f"\n({say_level(standings.rule.alpha)} interval)" if intervals else ""
    behind = f"{BEHIND}{level}"
    if standings.leads:
        columns[behind] = [_say_behind(row.key, standings) for row in rows]
    if standings.leads or _flawed(cells, standings):
        columns["verdict"] = [say_verdict(row.key, standings) for row in rows]
    return columns


def _table(name: str, cells: pd.DataFrame, standings: Standings) -> Fitted:
    columns = columns_of(cells, standings)
    ranking = RANKED_BY[standings.metric]
    return Fitted(
        title=name,
        columns=columns,
        words=("cell", "verdict"),
        spare=tuple(heading for heading in LEAST_FIRST if heading != ranking),
        dear=tuple(heading for heading in columns if heading.startswith(BEHIND)),
    )


def _flawed(cells: pd.DataFrame, standings: Standings) -> list[Any]:
    """The rows of cells that are ruled out though some of their runs are complete."""
    return [row for row in cells.itertuples() if row.key in standings.flaws]


def _say_behind(cell: str, standings: Standings) -> str:
    """How far a cell is behind the best."""
    lead = standings.leads.get(cell)
    return "" if lead is None else say_interval(standings.metric, lead)


def say_verdict(cell: str, standings: Standings) -> str:
    """What may be said of a cell."""
    verdict = standings.verdicts.get(cell)
    if verdict is None or cell != standings.order[0]:
        return standings.words[cell]
    return "best" if verdict is Verdict.BETTER else f"leads, {verdict}"


def say_results(standings: Standings) -> dict[str, str]:
    """Cell, by its key -> what came of it, in the few words that a table of runs has room for.

    The mean ± the standard deviation over its seeds, and the verdict: `2.056 ± 0.010 · best`. Of a
    study of one cell the numbers alone, of a cell without a complete run the words alone.
    """
    found = {}
    for cell in standings.names:
        verdict = say_verdict(cell, standings) if cell in standings.words else ""
        values = standings.values.get(cell)
        numbers = _say_mean(standings.metric, values) if values else ""
        found[cell] = " · ".join(part for part in (numbers, verdict) if part)
    return {cell: said for cell, said in found.items() if said}


def _say_mean(metric: Metric, values: Sequence[float]) -> str:
    """The mean that the board shows, and the standard deviation of more than one value."""
    if not all(map(math.isfinite, values)):  # a run that did not reach its target
        return "not reached" if len(values) == 1 else "not always reached"
    ratios = metric == "tokens_per_second" and min(values) > 0
    mean = statistics.geometric_mean(values) if ratios else statistics.fmean(values)
    if len(values) == 1:
        return say_number(metric, mean)
    return f"{say_number(metric, mean)} ± {say_number(metric, statistics.stdev(values))}"


def say_gaps(entries: Sequence[Entry], dropped: Sequence[Dropped]) -> list[str]:
    """What is missing and why; the seeds of a cell that miss for one reason in one line."""
    names = names_of(entries)
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for entry in entries:
        if entry.outcome is not Outcome.COMPLETE:
            reason = entry.reason.strip().rpartition("\n")[2]  # of a traceback, what was raised
            gap = (entry.outcome.value, names[entry.cell], reason)
            seeds.setdefault(gap, []).append(entry.config.train.seed)
    gaps = [
        f"{outcome}: {name} · seed{'s' * (len(missing) > 1)} "
        f"{', '.join(map(str, sorted(missing)))}: {reason}"
        for (outcome, name, reason), missing in seeds.items()
    ]
    return gaps + [f"dropped: {point.label}: {point.reason}" for point in dropped]
