"""What may be concluded? The cells in order, what is shown of the best, and what is missing.

Raw values of each seed stay in the ledger; the summary is made here, when it is shown.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.grid import Dropped
from bench.ledger import Entry
from bench.outcome import Outcome
from bench.spec import Metric
from bench.standings import UNITS, Standings, say_gain
from bench.stats import CellComparison, Verdict

TITLES: dict[Metric, str] = {
    "val_bits_per_byte": "bits per byte",
    "val_loss": "validation loss",
    "tokens_per_second": "tokens per second",
    "seconds_to_target": "seconds to the target loss",
}


def summarize(standings: Standings) -> pd.DataFrame:
    """One row a cell with a complete run, in the order of the standings; lossy tokenizers last.

    Columns: cell, flags, seeds, bits_per_byte (mean), spread (standard deviation of the metric
    over seeds), loss, tokens_per_second, n_params, context_bytes, n_steps, train_seconds.
    """
    complete = [entry for entry in standings.entries if entry.outcome is Outcome.COMPLETE]
    if not complete:
        return pd.DataFrame()
    frame = pd.DataFrame(
        {
            "cell": entry.label,
            "flags": entry.facts.get("flags", ""),
            "metric": entry.summary[standings.metric],
            **entry.summary,
        }
        for entry in complete
    )
    cells = frame.groupby("cell", sort=False).agg(
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
    lossy = [cell for cell in cells.index if cell not in standings.order]
    return cells.loc[[*standings.order, *lossy]].reset_index()


def show(
    name: str, standings: Standings, dropped: Sequence[Dropped], n_workers: int
) -> RenderableType:
    """The leaderboard, what it does and doesn't tell, and what is missing from it."""
    cells = summarize(standings)
    parts: list[RenderableType] = []
    if not cells.empty:
        remarks = [*_conclusions(standings), *_warnings(cells, standings, n_workers)]
        parts = [_table(name, cells, standings), *(Text(r, style="dim") for r in remarks)]
    parts += _gaps(standings.entries, dropped)
    return Group(*parts)


def show_budgets(standings: Mapping[str, Standings]) -> RenderableType:
    """Who leads under each budget, and whether that hangs on the budget."""
    table = Table(title="by budget", title_justify="left", header_style="bold")
    table.box, table.padding = box.SIMPLE_HEAD, (0, 1, 0, 0)
    for heading in ("budget", "leads", "verdict"):
        table.add_column(heading)
    leaders = []
    for budget, standing in standings.items():
        leader = standing.order[0] if standing.leads else "not ranked"
        leaders.append(leader)
        table.add_row(budget, leader, standing.verdicts.get(leader, ""))
    changes = len(set(leaders)) > 1
    remark = (
        "The leader changes with the budget: say which one a claim is about."
        if changes
        else f"{leaders[0]} leads under every one of these budgets."
    )
    return Group(table, Text(remark, style="dim"))


def _table(name: str, cells: pd.DataFrame, standings: Standings) -> Table:
    table = Table(title=name, title_justify="left", header_style="bold")
    table.box, table.padding = box.SIMPLE_HEAD, (0, 1, 0, 0)
    table.add_column("cell", overflow="fold")
    for heading in ("bits/byte", "loss", "tokens/s", "params", "context", "steps", "train s"):
        table.add_column(heading, justify="right")
    if standings.leads:
        level = f"{100 * (1 - standings.rule.alpha):.3g}%"
        table.add_column(f"{level} of best's lead", justify="right", no_wrap=True)
        table.add_column("verdict")
    for row in cells.itertuples():
        table.add_row(
            f"{row.cell} ({row.flags})" if row.flags else row.cell,
            f"{row.bits_per_byte:.3f}" + (f" ±{row.spread:.3f}" if row.seeds > 1 else ""),
            f"{row.loss:.3f}",
            f"{row.tokens_per_second:,.0f}",
            _short(row.n_params),
            f"{row.context_bytes:.0f} B",
            f"{row.n_steps:.0f}",
            f"{row.train_seconds:.1f}",
            *(_evidence(row.cell, standings) if standings.leads else ()),
        )
    return table


def _short(count: float) -> str:
    """A number of parameters to three digits: `804 k`, `10.8 M`."""
    return f"{count / 1e3:.3g} k" if count < 1e6 else f"{count / 1e6:.3g} M"


def _evidence(cell: str, standings: Standings) -> tuple[str, str]:
    """How far the best is ahead of a cell, and what may be said of the cell."""
    verdict = standings.verdicts.get(cell)
    if verdict is None:
        return "", "not ranked"
    if cell == standings.order[0]:
        return "", "best" if verdict is Verdict.BETTER else f"leads, {verdict}"
    return say_lead(standings.metric, standings.leads[cell]), verdict


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
    title = TITLES[standings.metric]
    lead = standings.leads[runner_up]
    verdict = standings.verdicts[best]
    claim = {
        Verdict.BETTER: f"Best {title}: {best}.",
        Verdict.TIE: f"{best} leads in {title}, but not by more than the noise.",
    }.get(verdict, f"{best} leads in {title}; whether it is best is undetermined.")
    return [claim, say_evidence(standings.metric, lead)]


def say_evidence(metric: Metric, lead: CellComparison) -> str:
    """What a verdict rests on, and what it would take where there is none."""
    n, rule, floor = lead.differences.n, lead.rule, lead.floor
    seeds = f"{n} paired seed{'s' * (n != 1)}"
    if n < rule.min_seeds:
        needed = rule.min_seeds
        return f"With {seeds} no winner can be named: it takes {needed} (--seeds {needed})."
    unit = UNITS.get(metric, "")
    parts = [
        seeds,
        f"Holm over all {lead.n_comparisons} pairs at alpha {rule.alpha:.2g}"
        if lead.n_comparisons > 1
        else f"alpha {rule.alpha:.2g}",
        f"noise floor {say_gain(metric, floor.sd).lstrip('+')}{unit}, the SD of a cell's seeds",
        f"a lead of {say_gain(metric, lead.detectable).lstrip('+')} would be found in "
        f"{rule.power:.0%} of studies",
    ]
    evidence = "; ".join(parts) + "."
    if lead.verdict is Verdict.UNDETERMINED and lead.seeds_needed is not None:
        evidence += f" About {lead.seeds_needed} seeds would settle it."
    return evidence


def _warnings(cells: pd.DataFrame, standings: Standings, n_workers: int) -> list[str]:
    remarks = []
    if len(standings.order) < len(cells):
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
    if n_workers > 1:
        remarks.append(f"Speeds were measured with {n_workers} runs side by side.")
    return remarks


def _gaps(entries: Sequence[Entry], dropped: Sequence[Dropped]) -> list[Text]:
    """What is missing and why; the seeds of a cell that miss for one reason in one line."""
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for entry in entries:
        if entry.outcome is not Outcome.COMPLETE:
            reason = entry.reason.strip().rpartition("\n")[2]  # of a traceback, what was raised
            gap = (entry.outcome.value, entry.label, reason)
            seeds.setdefault(gap, []).append(entry.config.train.seed)
    gaps = [
        f"  {outcome}: {label} · seed{'s' * (len(missing) > 1)} "
        f"{', '.join(map(str, sorted(missing)))}: {reason}"
        for (outcome, label, reason), missing in seeds.items()
    ]
    gaps += [f"  dropped: {point.label}: {point.reason}" for point in dropped]
    return [Text("Not complete:", style="bold"), *map(Text, gaps)] if gaps else []
