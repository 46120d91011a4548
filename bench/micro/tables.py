"""The results as text: contestants down, T across, the median time in each cell.

Medians of answers that were timed one after another are shown, and not compared: which is fastest
is said below them, by the times that were taken in turns.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.conclude.stats import Race
from bench.micro.results import LeftOut, Results, Row
from bench.micro.verdicts import RULE, fastest, race, say

UNSTABLE = 0.2
"""A spread (interquartile range) of more than this share of the median is marked."""

NOTE = (
    "times: the median over rounds, one answer after another, so that a ratio of two of them says "
    "little; of matmul, of copy: share of the fastest matrix product and copy measured here, at "
    "the largest T, as the peak memory"
)

IN_TURNS = (
    f"in turns: the answers timed once more, in turns; intervals of {1 - RULE.alpha:.0%} that "
    f"hold together; {RULE.matters:.0%} and less does not matter; bold: the fastest by this, or "
    "all that tie for it"
)

NOT_IN_TURNS = "not timed in turns: no verdict on which is fastest"


def duration(seconds: float) -> str:
    """Three digits and a unit: 12.3 µs."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError("the last unit takes everything")


def memory(n_bytes: int | None) -> str:
    """Bytes as kB or MB; a dash if unknown."""
    if n_bytes is None:
        return "–"
    return f"{n_bytes / 1e6:.3g} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.3g} kB"


def tables(results: Results) -> list[RenderableType]:
    """A table for each series, a note on unstable times, and what has no time and why."""
    parts: list[RenderableType] = []
    for series in results.series:
        for _, rows in groupby(results.of(series), key=lambda row: row.device):
            same = list(rows)
            races = {
                question.T: race(question)
                for question in results.in_turns
                if (question.series, question.device) == (series, same[0].device)
            }
            parts += [Text(f"{series} · {_where(same[0])}", style="bold"), _table(same, races)]
            parts += [*(Text(line, style="dim") for line in _verdicts(same, races)), ""]
    if any(_unstable(row) for row in results.rows):
        share = f"{UNSTABLE:.0%}"
        parts.append(
            Text(
                f"~ interquartile range over {share} of the median: measure again on a quieter "
                "machine"
            )
        )
    parts += [Text(NOTE), *([Text(IN_TURNS)] if results.in_turns else [])]
    parts += [Text(line) for line in _left_out(results.left_out)]
    return parts


def _unstable(row: Row) -> bool:
    return row.iqr_seconds > UNSTABLE * row.median_seconds


def _verdicts(rows: Sequence[Row], races: Mapping[int | None, Race]) -> Iterable[str]:
    """A line for each T that has two answers or more."""
    for T in dict.fromkeys(row.T for row in rows):
        where = "" if T is None else f", T = {T}"
        if T in races:
            yield f"in turns{where}: {say(races[T])}"
        elif sum(row.T == T for row in rows) > 1:
            yield f"{where.lstrip(', ')}{': ' if where else ''}{NOT_IN_TURNS}"


def _table(rows: Sequence[Row], races: Mapping[int | None, Race]) -> Table:
    lengths = list(dict.fromkeys(row.T for row in rows))
    table = Table(box=None)
    table.add_column("")
    for T in lengths:
        table.add_column("median" if T is None else f"T = {T}", justify="right")
    for heading in ("of matmul", "of copy", "peak memory"):
        table.add_column(heading, justify="right", style="dim")
    best = {T: fastest(race) for T, race in races.items()}
    for name in dict.fromkeys(row.name for row in rows):
        by_length = {row.T: row for row in rows if row.name == name}
        cells = [
            _cell(by_length[T], name in best.get(T, ())) if T in by_length else Text("–")
            for T in lengths
        ]
        longest = list(by_length.values())[-1]
        table.add_row(
            name,
            *cells,
            f"{longest.share_of_matmul_ceiling:.1%}" if longest.flops else "–",
            f"{longest.share_of_copy_ceiling:.1%}",
            memory(longest.peak_memory_bytes),
        )
    return table


def _cell(row: Row, is_fastest: bool) -> Text:
    style = "bold green" if is_fastest else ""
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
