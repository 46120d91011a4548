"""What may be concluded? The cells in order, what is shown of the best, and what is missing.

Raw values of each seed stay in the ledger; the summary is made here, when it is shown.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text
from scipy import stats

from bench.cells.grid import Dropped
from bench.conclude.standings import Standings
from bench.conclude.stats import LOOKS, Gain, Race, Verdict
from bench.ledger.outcome import Outcome
from bench.metrics import RELATIVE, TITLES, UNITS, Metric, say_gain, say_size
from bench.system.fitted_table import Fitted
from gpt.config import Budget

RANKED_BY: dict[Metric, str] = {
    "val_bits_per_byte": "bits/byte",
    "val_loss": "loss",
    "tokens_per_second": "tokens/s",
    "seconds_to_target": "train s",
}
"""Metric -> the column that holds it."""

MOST_SHOWN = math.log(10)
"""An interval of ratios that reaches further to either side says nothing, and is not shown."""

BEHIND = "behind the best"
"""How the column of intervals is headed, before their level."""

LEAST_FIRST = ("steps", "train s", "params", "context", "loss", "tokens/s", BEHIND, "bits/byte")
"""Columns that a narrow terminal does without, but for the one that ranks."""


def summarize(standings: Standings) -> pd.DataFrame:
    """One row a cell with a complete run, in the order of the standings; what is not ranked last.

    Columns: key, cell (its name), flags, seeds, bits_per_byte (mean), spread (standard deviation
    of bits_per_byte over seeds), loss, tokens_per_second, n_params, context_bytes, n_steps,
    train_seconds.
    """
    if not standings.complete:
        return pd.DataFrame()
    frame = pd.DataFrame(
        {
            "key": entry.cell,
            "flags": entry.facts.get("flags", ""),
            "metric": entry.summary[standings.metric],
            **entry.summary,
        }
        for entry in standings.complete
    )
    cells = frame.groupby("key", sort=False).agg(
        flags=("flags", "first"),
        seeds=("metric", "size"),
        bits_per_byte=("val_bits_per_byte", "mean"),
        spread=("val_bits_per_byte", "std"),
        loss=("val_loss", "mean"),
        tokens_per_second=("tokens_per_second", stats.gmean),
        n_params=("n_params", "first"),
        context_bytes=("context_bytes", "first"),
        n_steps=("n_steps", "median"),
        train_seconds=("train_seconds", "mean"),
    )
    others = [cell for cell in cells.index if cell not in standings.order]
    cells.insert(0, "cell", [standings.names[cell] for cell in cells.index])
    return cells.loc[[*standings.order, *others]].reset_index()


def show(name: str, standings: Standings, dropped: Sequence[Dropped]) -> RenderableType:
    """The leaderboard, what it does and doesn't tell, and what is missing from it."""
    cells = summarize(standings)
    parts: list[RenderableType] = []
    if not cells.empty:
        remarks = [*_conclusions(standings), *_warnings(cells, standings)]
        parts = [_table(name, cells, standings), *(Text(r, style="dim") for r in remarks)]
    parts += _gaps(standings, dropped)
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


def _table(name: str, cells: pd.DataFrame, standings: Standings) -> Fitted:
    rows = list(cells.itertuples())
    columns = {
        "cell": [f"{row.cell} ({row.flags})" if row.flags else row.cell for row in rows],
        "bits/byte": [
            f"{row.bits_per_byte:.3f}" + (f" ±{row.spread:.3f}" if row.seeds > 1 else "")
            for row in rows
        ],
        "loss": [f"{row.loss:.3f}" for row in rows],
        "tokens/s": [f"{row.tokens_per_second:,.0f}" for row in rows],
        "params": [_short(row.n_params) for row in rows],
        "context": [f"{row.context_bytes:.0f} B" for row in rows],
        "steps": [f"{row.n_steps:.0f}" for row in rows],
        "train s": [f"{row.train_seconds:.1f}" for row in rows],
    }
    intervals = any(math.isfinite(lead.margin) for lead in standings.leads.values())
    behind = f"{BEHIND} ({say_level(standings.rule.alpha)})" if intervals else BEHIND
    if standings.leads:
        columns[behind] = [_say_behind(row.key, standings) for row in rows]
    if standings.leads or _flawed(cells, standings):
        columns["verdict"] = [_say_verdict(row.key, standings) for row in rows]
    spare = (behind if heading == BEHIND else heading for heading in LEAST_FIRST)
    return Fitted(
        title=name,
        columns=columns,
        words=("cell", "verdict"),
        spare=tuple(heading for heading in spare if heading != RANKED_BY[standings.metric]),
    )


def _flawed(cells: pd.DataFrame, standings: Standings) -> list[Any]:
    """The rows of cells that are ruled out though some of their runs are complete."""
    return [row for row in cells.itertuples() if row.key in standings.flaws]


def _short(count: float) -> str:
    """A number of parameters to three digits: `804 k`, `10.8 M`."""
    return f"{count / 1e3:.3g} k" if count < 1e6 else f"{count / 1e6:.3g} M"


def say_level(alpha: float) -> str:
    """An interval's level, with as many digits as it takes: `99%`, `99.5%`."""
    return f"{100 * (1 - alpha):.4g}%"


def _say_behind(cell: str, standings: Standings) -> str:
    """How far a cell is behind the best."""
    lead = standings.leads.get(cell)
    return "" if lead is None else say_lead(standings.metric, lead)


def _say_verdict(cell: str, standings: Standings) -> str:
    """What may be said of a cell."""
    verdict = standings.verdicts.get(cell)
    if verdict is None or cell != standings.order[0]:
        return standings.words[cell]
    return "best" if verdict is Verdict.BETTER else f"leads, {verdict}"


def say_lead(metric: Metric, lead: Gain) -> str:
    """The interval of a gain: `+0.0040 to +0.0206`; without evidence for one, the gain alone."""
    known = lead.margin < (MOST_SHOWN if metric in RELATIVE else math.inf)
    ends = lead.interval if known else (lead.mean,)
    if any(map(math.isnan, ends)):
        return "—"
    return " to ".join(say_gain(metric, end) for end in ends)


def _conclusions(standings: Standings) -> list[str]:
    if standings.refusal is not None:
        return [f"Not ranked: {standings.refusal}."]
    if not standings.leads:
        return []
    best = standings.order[0]
    title, name = TITLES[standings.metric], standings.names[best]
    open_ = [cell for cell, v in standings.verdicts.items() if v is Verdict.UNDETERMINED]
    rivals = [cell for cell in open_ if cell != best]
    tied = [standings.names[c] for c, v in standings.verdicts.items() if v is Verdict.TIE]
    claim = {
        Verdict.BETTER: f"Best {title}: {name}.",
        Verdict.TIE: f"{name} leads in {title}, in a tie with {', '.join(tied[1:])}.",
    }.get(
        standings.verdicts[best], f"{name} leads in {title}; whether it is best is undetermined."
    )
    return [
        claim,
        *(_say_open(rival, standings) for rival in rivals[:1]),
        say_noise(standings.metric, standings.race),
    ]


def _say_open(rival: str, standings: Standings) -> str:
    """What stands against the leader, and what it would take to tell."""
    lead, name = standings.leads[rival], standings.names[rival]
    after = f"After {lead.n} seed{'s' * (lead.n != 1)}, {name} can't be told from the leader"
    needed = standings.race.seeds_needed(standings.order[0], rival)
    if needed is None:
        return f"{after}."
    stops = standings.is_hopeless
    return f"{after}; that would take about {needed} seeds." + (
        f" The race stopped: {LOOKS[-1]} would hardly do." if stops else ""
    )


def say_noise(metric: Metric, race: Race) -> str:
    """What the verdicts of a race rest on: what matters, the noise, and the intervals' level."""
    parts = [
        f"A difference below {say_size(metric, race.matters)}{UNITS.get(metric, '')} "
        f"({100 * race.rule.matters:.3g}% of the best) doesn't matter"
    ]
    if race.noise is None or race.noise.freedom < 1:
        parts.append("no two seeds were compared yet, so the noise is not known")
    else:
        sd = say_size(metric, math.sqrt(race.noise.pooled))
        level = say_level(race.rule.alpha)
        parts += [
            f"the noise of a run, apart from what a seed does to all cells, is {sd} (SD, "
            f"{race.noise.freedom} degree{'s' * (race.noise.freedom != 1)} of freedom)",
            f"the intervals hold with {level}, all together and at every look",
        ]
    return "; ".join(parts) + "."


def _warnings(cells: pd.DataFrame, standings: Standings) -> list[str]:
    remarks = []
    flaws = [f"{row.cell} ({standings.flaws[row.key]})" for row in _flawed(cells, standings)]
    if flaws:
        remarks.append(
            "Not ranked, for a cell with such runs can neither lead nor be better: "
            f"{'; '.join(flaws)}."
        )
    if any(not entry.config.tokenizer.lossless for entry in standings.complete):
        remarks.append("Lossy tokenizers threw text away: their bits per byte aren't comparable.")
    if len(cells) > 1:
        remarks.append("Loss is per token: compare it between runs of one tokenizer only.")
    few, many = cells.n_params.min(), cells.n_params.max()
    if many > 1.05 * few:
        remarks.append(
            f"Cells have {_short(few)} to {_short(many)} parameters: a lead is theirs too."
        )
    beside = {entry.facts.get("runs_side_by_side", 1) for entry in standings.complete}
    if beside != {1}:
        counts = " or ".join(map(str, sorted(beside)))
        remarks.append(f"Speeds were measured with {counts} runs side by side.")
    return remarks


def _gaps(standings: Standings, dropped: Sequence[Dropped]) -> list[Text]:
    """What is missing and why; the seeds of a cell that miss for one reason in one line."""
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for entry in standings.entries:
        if entry.outcome is not Outcome.COMPLETE:
            reason = entry.reason.strip().rpartition("\n")[2]  # of a traceback, what was raised
            gap = (entry.outcome.value, standings.names[entry.cell], reason)
            seeds.setdefault(gap, []).append(entry.config.train.seed)
    gaps = [
        f"  {outcome}: {name} · seed{'s' * (len(missing) > 1)} "
        f"{', '.join(map(str, sorted(missing)))}: {reason}"
        for (outcome, name, reason), missing in seeds.items()
    ]
    gaps += [f"  dropped: {point.label}: {point.reason}" for point in dropped]
    return [Text("Not complete:", style="bold"), *map(Text, gaps)] if gaps else []
