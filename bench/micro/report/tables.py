"""The results as text: answers down, T across, the median time in each cell; then what was found.

Bold is what the times taken in turns call the fastest, whatever the medians look like.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.micro.report.questions import IN_TURNS, Question, questions
from bench.micro.report.results import NOISY, LeftOut, Results, Row

NOTE = (
    "times: the median over rounds, one answer after another, so that a ratio of two of them says "
    "little; of matmul, of copy: share of the fastest matrix product and copy measured here, at "
    "the largest T, as the peak memory"
)
BOLD = "bold: the fastest in turns, or all that tie for it"
NOISE = f"~ interquartile range over {NOISY:.0%} of the median: measure again on a quieter machine"


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    is_fastest: bool = False


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
    """A table for each question; notes; what has no time and why; last, what was found."""
    asked = questions(results)
    parts: list[RenderableType] = []
    for question in asked:
        parts += [Text(f"{question.series} · {question.where}", style="bold"), _table(question)]
        parts += [*(Text(line, style="dim") for line in question.verdicts), ""]
    parts += [Text(line) for line in (*notes(results), *left_out(results.left_out))]
    parts += ["", Text("What was found", style="bold")]
    parts += [Text(f"{q.series}: {q.finding}") for q in asked if q.finding]
    return parts


def notes(results: Results) -> list[str]:
    """How to read the tables, a line each."""
    noisy = any(row.is_noisy for row in results.rows)
    return [*([NOISE] if noisy else []), NOTE, *([IN_TURNS, BOLD] if results.in_turns else [])]


def cells(question: Question) -> tuple[list[str], list[list[Cell]]]:
    """The headings of a table, and its rows; all columns but the first hold numbers."""
    lengths = question.lengths
    headings = ["", *("median" if T is None else f"T = {T}" for T in lengths)]
    best = {T: question.fastest(T) for T in lengths}
    rows = []
    for name in question.names:
        by_length = {row.T: row for row in question.rows if row.name == name}
        times = [
            Cell(_time(by_length[T]), name in best[T]) if T in by_length else Cell("–")
            for T in lengths
        ]
        longest = list(by_length.values())[-1]
        of_matmul = f"{longest.share_of_matmul_ceiling:.1%}" if longest.flops else "–"
        others = (
            of_matmul,
            f"{longest.share_of_copy_ceiling:.1%}",
            memory(longest.peak_memory_bytes),
        )
        rows.append([Cell(name), *times, *map(Cell, others)])
    return [*headings, "of matmul", "of copy", "peak memory"], rows


def left_out(left_out: Iterable[LeftOut]) -> list[str]:
    """A line for each contestant and reason; what is wrong comes first."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for left in left_out:
        reasons.setdefault((left.name, left.reason), []).append(left.series)
    ordered = sorted(reasons.items(), key=lambda item: not item[0][1].startswith("wrong"))
    lines = []
    for (name, reason), series in ordered:
        where = "" if len(set(series)) > 1 else f" ({series[0]})"
        lines.append(f"no time for {name}{where}: {reason}")
    return lines


def _time(row: Row) -> str:
    return f"{'~' if row.is_noisy else ''}{duration(row.median_seconds)}"


def _table(question: Question) -> Table:
    headings, rows = cells(question)
    table = Table(box=None)
    for i, heading in enumerate(headings):
        is_time = 0 < i <= len(question.lengths)
        table.add_column(
            heading,
            justify="right" if i else "left",
            style="dim" if i and not is_time else "",
        )
    for row in rows:
        table.add_row(*(Text(c.text, style="bold green" if c.is_fastest else "") for c in row))
    return table
