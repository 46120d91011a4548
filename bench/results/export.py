"""The runs, the curves or the board of studies, in a form that other programs read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click
import pandas as pd

from bench.conclude.latex import latex
from bench.metrics import Metric
from bench.results.board import board_of
from bench.results.table import load
from gpt.cache import atomic
from gpt.errors import MachineError

Form = Literal["csv", "parquet", "latex"]


def export(
    studies: Sequence[str], form: Form, *, curves: bool, metric: Metric | None, output: Path | None
) -> None:
    """Write the studies in a form, to a file or to stdout (but for Parquet).

    Raises:
        ConfigError: there is no such study.
        MachineError: a ledger can't be read, or the file can't be written.
    """
    content = _boards(studies, metric) if form == "latex" else _table(studies, form, curves)
    if output is None or str(output) == "-":
        click.echo(content, nl=False)
        return
    whole = content if isinstance(content, bytes) else content.encode()
    try:
        if output.exists() and not output.is_file():  # a pipe, or /dev/null
            output.write_bytes(whole)
            return
        with atomic(output) as partial:
            partial.write_bytes(whole)
    except OSError as error:
        raise MachineError(
            f"{output} must be writable but got: {error.strerror}; name another file"
        ) from error


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
