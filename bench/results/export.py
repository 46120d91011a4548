"""The runs, the curves or the board of studies, in a form that other programs read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from bench.conclude.latex import latex
from bench.metrics import Metric
from bench.results.board import board_of
from bench.results.table import load
from bench.system.output import write_output

Form = Literal["csv", "parquet", "latex"]


def export(
    studies: Sequence[str], form: Form, *, curves: bool, metric: Metric | None, output: Path
) -> None:
    """Write the studies in a form to a file; `-` is stdout.

    Raises:
        ConfigError: there is no such study.
        MachineError: a ledger can't be read, or the file can't be written.
    """
    content = _boards(studies, metric) if form == "latex" else _table(studies, form, curves)
    write_output(output, content)


def _table(studies: Sequence[str], form: Form, curves: bool) -> str | bytes:
    runs = load(*studies)
    table = pd.DataFrame(runs.curves() if curves else runs)
    if form == "csv":
        return str(table.to_csv(index=False, lineterminator="\n"))
    mixed = [name for name in table if "mixed" in pd.api.types.infer_dtype(table[name])]
    whole = table.assign(**{name: table[name].map(str, na_action="ignore") for name in mixed})
    return bytes(whole.to_parquet(None, engine="pyarrow", index=False))


def _boards(studies: Sequence[str], metric: Metric | None) -> str:
    boards = [board_of(study, metric=metric) for study in dict.fromkeys(studies)]
    return "\n".join(
        latex(board.title, board.standings, label=board.ledger.path.stem) for board in boards
    )
