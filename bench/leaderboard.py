"""What may be concluded? The cells in order, with their seeds' spread, and what did not complete.

Raw values of each seed stay in the ledger; the summary is made here, when it is shown.
"""

from collections.abc import Iterable, Sequence

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.grid import Dropped
from bench.ledger import Entry
from bench.outcome import Outcome
from bench.spec import Metric, Study
from gpt.config import RunConfig
from gpt.errors import ConfigError

TITLES: dict[Metric, str] = {
    "val_bits_per_byte": "bits per byte",
    "val_loss": "validation loss",
    "tokens_per_second": "tokens per second",
    "seconds_to_target": "seconds to the target loss",
}


def refuse_unfair_metric(metric: Metric, configs: Iterable[RunConfig]) -> None:
    """Raise `ConfigError` if runs of unlike tokenizers would be ranked by loss per token."""
    kinds = {(c.corpus, c.tokenizer.canonical()) for c in configs}
    if metric in ("val_loss", "seconds_to_target") and len(kinds) > 1:
        raise ConfigError(
            f"{metric} can't rank {len(kinds)} tokenizers, for their tokens hold unlike amounts "
            "of text; use val_bits_per_byte"
        )


def summarize(entries: Sequence[Entry], study: Study) -> pd.DataFrame:
    """One row a cell with a complete run, best first; lossy tokenizers last, for they lost text.

    Columns: cell, seeds, the metric's mean, min and max over seeds, loss, tokens_per_second,
    n_params, context_bytes, n_steps, train_seconds, lossless.
    """
    complete = [entry for entry in entries if entry.outcome is Outcome.COMPLETE]
    if not complete:
        return pd.DataFrame()
    frame = pd.DataFrame(
        {
            "cell": entry.label,
            "metric": entry.summary[study.metric],
            "lossless": entry.config.tokenizer.lossless,
            **entry.summary,
        }
        for entry in complete
    )
    cells = frame.groupby("cell", sort=False).agg(
        seeds=("metric", "size"),
        mean=("metric", "mean"),
        low=("metric", "min"),
        high=("metric", "max"),
        bits_per_byte=("val_bits_per_byte", "mean"),
        loss=("val_loss", "mean"),
        tokens_per_second=("tokens_per_second", "median"),
        n_params=("n_params", "first"),
        context_bytes=("context_bytes", "first"),
        n_steps=("n_steps", "median"),
        train_seconds=("train_seconds", "mean"),
        lossless=("lossless", "first"),
    )
    return cells.reset_index().sort_values(
        ["lossless", "mean"], ascending=[False, study.direction == "minimize"], ignore_index=True
    )


def show(
    name: str, entries: Sequence[Entry], dropped: Sequence[Dropped], study: Study, n_workers: int
) -> RenderableType:
    """The leaderboard, what it does and doesn't tell, and what is missing from it."""
    cells = summarize(entries, study)
    parts: list[RenderableType] = []
    if not cells.empty:
        parts += [_table(name, cells), *_remarks(cells, study, n_workers)]
    parts += _gaps(entries, dropped)
    return Group(*parts)


def _table(name: str, cells: pd.DataFrame) -> Table:
    table = Table(title=name, title_justify="left", header_style="bold")
    table.add_column("cell", overflow="fold")
    headings = (
        "bits/byte", "± seeds", "loss", "tokens/s", "params", "context", "steps", "train s"
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in cells.itertuples():
        table.add_row(
            row.cell if row.lossless else f"{row.cell} (lossy)",
            f"{row.bits_per_byte:.3f}",
            f"{(row.high - row.low) / 2:.3f}" if row.seeds > 1 else "one seed",
            f"{row.loss:.3f}",
            f"{row.tokens_per_second:,.0f}",
            f"{row.n_params:,}",
            f"{row.context_bytes:.0f} B",
            f"{row.n_steps:.0f}",
            f"{row.train_seconds:.1f}",
        )
    return table


def _remarks(cells: pd.DataFrame, study: Study, n_workers: int) -> list[Text]:
    title = TITLES[study.metric]
    ranked = cells[cells.lossless]
    remarks = []
    if len(ranked) > 1:
        best = ranked.iloc[0]
        rivals = ranked[(ranked.low <= best.high) & (ranked.high >= best.low)].cell[1:]
        if best.seeds == 1:
            verdict = "undetermined: one seed a cell can't tell them apart"
        elif len(rivals):
            verdict = f"not told apart from {', '.join(rivals)} by its seeds"
        else:
            verdict = f"ahead of all others in each of its {best.seeds} seeds"
        remarks.append(f"Best {title}: {best.cell}, {verdict}.")
    if len(ranked) < len(cells):
        remarks.append("Lossy tokenizers threw text away: their bits per byte aren't comparable.")
    if cells.bits_per_byte.size > 1:
        remarks.append("Loss is per token: compare it between runs of one tokenizer only.")
    if n_workers > 1:
        remarks.append(f"Speeds were measured with {n_workers} runs side by side.")
    return [Text(remark, style="dim") for remark in remarks]


def _gaps(entries: Sequence[Entry], dropped: Sequence[Dropped]) -> list[Text]:
    gaps = [
        f"  {entry.outcome.value}: {entry.label} · seed {entry.config.train.seed}: {entry.reason}"
        for entry in entries
        if entry.outcome is not Outcome.COMPLETE
    ]
    gaps += [f"  dropped: {point.label}: {point.reason}" for point in dropped]
    return [Text("Not complete:", style="bold"), *map(Text, gaps)] if gaps else []
