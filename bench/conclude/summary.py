"""The cells of a ledger as a table, a row a cell, made of the runs when it is shown.

Raw values of each seed stay in the ledger.
"""

import pandas as pd
from scipy import stats

from bench.conclude.standings import Standings


def summarize(standings: Standings) -> pd.DataFrame:
    """One row a cell with a complete run, in the order of the standings; what is not ranked last.

    Columns: key, cell (its name), flags, seeds, bits_per_byte (mean), spread (standard deviation
    of bits_per_byte over seeds), loss, tokens_per_second, n_params, context_bytes, n_steps,
    n_bytes, n_tokens, train_seconds.
    """
    if not standings.complete:
        return pd.DataFrame()
    frame = pd.DataFrame(
        {
            "key": entry.cell,
            "flags": entry.facts.get("flags", ""),
            **entry.summary,
        }
        for entry in standings.complete
    )
    cells = frame.groupby("key", sort=False).agg(
        flags=("flags", "first"),
        seeds=("val_bits_per_byte", "size"),
        bits_per_byte=("val_bits_per_byte", "mean"),
        spread=("val_bits_per_byte", "std"),
        loss=("val_loss", "mean"),
        tokens_per_second=("tokens_per_second", stats.gmean),
        n_params=("n_params", "first"),
        context_bytes=("context_bytes", "first"),
        n_steps=("n_steps", "median"),
        n_bytes=("n_bytes", "mean"),
        n_tokens=("n_tokens", "mean"),
        train_seconds=("train_seconds", "mean"),
    )
    others = [cell for cell in cells.index if cell not in standings.order]
    cells.insert(0, "cell", [standings.names[cell] for cell in cells.index])
    return cells.loc[[*standings.order, *others]].reset_index()
