"""What may be concluded? The cells in order, what is shown of the best, and what is missing.

Raw values of each seed stay in the ledger; the summary is made here, when it is shown.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from bench.cells.grid import Dropped
from bench.conclude.standings import Standings
from bench.conclude.stats import CellComparison, Verdict
from bench.ledger.outcome import Outcome
from bench.metrics import TITLES, UNITS, Metric, say_gain
from bench.system.fitted_table import Fitted
from gpt.config import Budget

RANKED_BY: dict[Metric, str] = {
    "val_bits_per_byte": "bits/byte",
    "val_loss": "loss",
    "tokens_per_second": "tokens/s",
    "seconds_to_target": "train s",
}
"""Metric -> the column that holds it."""

LEAD = "best ahead by"
"""How the column of intervals is headed, after their level."""

LEAST_FIRST = ("steps", "train s", "params", "context", "loss", "tokens/s", LEAD, "bits/byte")
"""Columns that a narrow terminal does without, but for the one that ranks."""


def summarize(standings: Standings) -> pd.DataFrame:
    """One row a cell with a complete run, in the order of the standings; what is not ranked last.

    Columns: key, cell (its name), flags, seeds, bits_per_byte (mean), spread (standard deviation
    of bits_per_byte over seeds), loss, tokens_per_second, n_params, context_bytes, n_steps,
    train_seconds, unreached (runs that never got to the target loss).
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
        tokens_per_second=("tokens_per_second", "median"),
        n_params=("n_params", "first"),
        context_bytes=("context_bytes", "first"),
        n_steps=("n_steps", "median"),
        train_seconds=("train_seconds", "mean"),
        unreached=("metric", lambda values: np.isinf(values).sum()),
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
    intervals = any(lead.differences.n > 1 for lead in standings.leads.values())
    lead = f"{LEAD} ({say_level(standings.rule.level)})" if intervals else LEAD
    if standings.leads:
        columns[lead] = [_say_lead_over(row.key, standings) for row in rows]
    if standings.leads or _flawed(cells, standings):
        columns["verdict"] = [_say_verdict(row.key, standings) for row in rows]
    spare = (lead if heading == LEAD else heading for heading in LEAST_FIRST)
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
    """An interval's level, with as many digits as it takes: `99.5%`, `99.83%`."""
    return f"{100 * (1 - alpha):.4g}%"


def _say_lead_over(cell: str, standings: Standings) -> str:
    """How far the best is ahead of a cell."""
    lead = standings.leads.get(cell)
    return "" if lead is None else say_lead(standings.metric, lead)


def _say_verdict(cell: str, standings: Standings) -> str:
    """What may be said of a cell."""
    verdict = standings.verdicts.get(cell)
    if verdict is None or cell != standings.order[0]:
        return standings.words[cell]
    return "best" if verdict is Verdict.BETTER else f"leads, {verdict}"


def say_lead(metric: Metric, lead: CellComparison) -> str:
    """The interval of a mean gain: `+0.0040 to +0.0206`; one seed has none, but the gain."""
    ends = lead.interval if lead.differences.n > 1 else (lead.differences.mean,)
    if any(map(math.isnan, ends)):
        return "—"
    return " to ".join(say_gain(metric, end) for end in ends)


def _conclusions(standings: Standings) -> list[str]:
    if standings.refusal is not None:
        return [f"Not ranked: {standings.refusal}."]
    if not standings.leads:
        return []
    best, runner_up = standings.order[:2]
    title, name = TITLES[standings.metric], standings.names[best]
    verdict = standings.verdicts[best]
    claim = {
        Verdict.BETTER: f"Best {title}: {name}.",
        Verdict.TIE: f"{name} leads in {title}, but not by more than the noise.",
    }.get(verdict, f"{name} leads in {title}; whether it is best is undetermined.")
    open_ = [c for c, lead in standings.leads.items() if lead.verdict is Verdict.UNDETERMINED]
    rival = open_[0] if open_ else runner_up
    evidence = say_evidence(standings.metric, standings.leads[rival])
    if rival != runner_up:
        evidence = f"Against {standings.names[rival]}: {evidence}"
    return [claim, evidence]


def say_evidence(metric: Metric, lead: CellComparison) -> str:
    """What a verdict rests on, and what it would take where there is none."""
    n, rule, floor = lead.differences.n, lead.rule, lead.floor
    seeds = f"{n} paired seed{'s' * (n != 1)}"
    if n < rule.min_seeds:
        needed = rule.min_seeds
        return f"With {seeds} no winner can be named: it takes {needed} (--seeds {needed})."
    unit = UNITS.get(metric, "")
    look = f" at look {rule.look} of these cells" if rule.look > 1 else ""
    parts = [
        seeds,
        f"Holm over all {lead.n_comparisons} pairs at alpha {rule.level:.2g}{look}"
        if lead.n_comparisons > 1
        else f"alpha {rule.level:.2g}{look}",
        f"noise floor {say_gain(metric, floor.sd).lstrip('+')}{unit}, the SD of a cell's seeds",
        f"a lead of {say_gain(metric, lead.detectable).lstrip('+')} would be found in "
        f"{rule.power:.0%} of studies",
    ]
    evidence = "; ".join(parts) + "."
    if lead.verdict is Verdict.UNDETERMINED and lead.seeds_needed is not None:
        evidence += f" About {lead.seeds_needed} seeds would settle it."
    return evidence


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
    remarks += [
        f"{row.cell} never reached the target loss in {row.unreached} of {row.seeds} runs: its "
        "train s are a whole budget, not the time to get there."
        for row in cells[cells.unreached > 0].itertuples()
    ]
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
