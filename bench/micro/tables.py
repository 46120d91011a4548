"""The results as text: contestants down, T across, the median time in each cell."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.micro.results import LeftOut, Results, Row

UNSTABLE = 0.2
"""A spread (interquartile range) of more than this share of the median is marked."""

NOTE = (
    "times: the median over rounds; of matmul, of copy: share of the fastest matrix product and "
    "copy measured here, at the largest T, as the peak memory"
)


def duration(seconds: float) -> str:
    """Three digits and a unit: 12.3 µs."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError("the last unit takes everything")


def memory(n_bytes: int | None) -> str:
    """As kB or MB; a dash where it is not known."""
    if n_bytes is None:
        return "–"
    return f"{n_bytes / 1e6:.3g} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.3g} kB"


def tables(results: Results) -> list[RenderableType]:
    """A table for each series, a note on unstable times, and what has no time and why."""
    parts: list[RenderableType] = []
    for series in results.series:
        for _, rows in groupby(results.of(series), key=lambda row: row.device):
            same = list(rows)
            parts += [Text(f"{series} · {_where(same[0])}", style="bold"), _table(same), ""]
    if any(_unstable(row) for row in results.rows):
        share = f"{UNSTABLE:.0%}"
        parts.append(
            Text(
                f"~ interquartile range over {share} of the median: measure again on a quieter "
                "machine"
            )
        )
    parts.append(Text(NOTE))
    parts += [Text(line) for line in _left_out(results.left_out)]
    return parts


def _unstable(row: Row) -> bool:
    return row.iqr_seconds > UNSTABLE * row.median_seconds


def _table(rows: Sequence[Row]) -> Table:
    lengths = list(dict.fromkeys(row.T for row in rows))
    table = Table(box=None)
    table.add_column("")
    for T in lengths:
        table.add_column("median" if T is None else f"T = {T}", justify="right")
    for heading in ("of matmul", "of copy", "peak memory"):
        table.add_column(heading, justify="right", style="dim")
    fastest = {T: min(row.median_seconds for row in rows if row.T == T) for T in lengths}
    for name in dict.fromkeys(row.name for row in rows):
        by_length = {row.T: row for row in rows if row.name == name}
        cells = [_cell(by_length[T], fastest[T]) if T in by_length else Text("–") for T in lengths]
        longest = list(by_length.values())[-1]
        table.add_row(
            name,
            *cells,
            f"{longest.share_of_matmul_ceiling:.1%}" if longest.flops else "–",
            f"{longest.share_of_copy_ceiling:.1%}",
            memory(longest.peak_memory_bytes),
        )
    return table


def _cell(row: Row, fastest: float) -> Text:
    style = "bold green" if row.median_seconds == fastest else ""
    return Text(f"{'~' if _unstable(row) else ''}{duration(row.median_seconds)}", style=style)


def _where(row: Row) -> str:
    threads = f", {row.threads} thread{'s' if row.threads > 1 else ''}"
    return f"{row.device_name}{threads if row.device == 'cpu' else ''}"


def _left_out(left_out: Iterable[LeftOut]) -> Iterable[str]:
    """A line for each contestant and reason; what is wrong comes first."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for left in left_out:
        reasons.setdefault((left.name, left.reason), []).append(left.series)
    ordered = sorted(reasons.items(), key=lambda item: not item[0][1].startswith("wrong"))
    for (name, reason), series in ordered:
        where = "" if len(set(series)) > 1 else f" ({series[0]})"
        yield f"no time for {name}{where}: {reason}"
