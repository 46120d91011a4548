r"""The leaderboard as a LaTeX table, with the rules of the package booktabs.

The caption says what the numbers are, what the board concludes and which cells it lacks, so that
the table can't be quoted without that; the other remarks stand above it as comments.
"""

import math
import re
from collections.abc import Iterable

from bench.conclude.leaderboard import BEHIND, RANKED_BY, columns_of
from bench.conclude.remarks import remarks, say_answer, say_level
from bench.conclude.standings import Standings
from bench.conclude.summary import summarize
from bench.ledger.outcome import Outcome

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", '"': r"\textquotedbl{}",
    "±": r"$\pm$", "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$", "≈": r"$\approx$",
}  # fmt: skip
"""Characters that LaTeX takes for something else, or that its fonts may lack."""

_SPECIAL = re.compile("|".join(map(re.escape, SPECIAL)))
_MINUS = re.compile(r"(?<!\S)-(?=\d)")


def escape(text: str) -> str:
    """Text as LaTeX shows it, on one line."""
    plain = _SPECIAL.sub(lambda found: SPECIAL[found[0]], " ".join(text.split()))
    return _MINUS.sub("$-$", plain)


def latex(title: str, standings: Standings, *, label: str) -> str:
    r"""A `table` environment, for `\usepackage{booktabs}`; comments alone if no run is complete.

    Columns: cell, bits/byte ± SD, the loss if that ranks, interval behind the best, verdict,
    tokens/s, params, seconds of training.

    Args:
        label: for `\ref`, after `tab:`.
    """
    cells = summarize(standings)
    said = remarks(standings)
    comments = [f"% {' '.join(line.split())}" for line in (title, *said)]
    if cells.empty:
        return "\n".join([*comments, "% No run is complete: there is nothing to show."]) + "\n"
    board = columns_of(cells, standings)
    behind = [heading for heading in board if heading.startswith(BEHIND)]
    ranked_by = RANKED_BY[standings.metric]
    shown = ["cell", "bits/byte", *behind, "verdict", "tokens/s", "params", "train s"]
    if ranked_by not in shown:
        shown.insert(2, ranked_by)
    columns = {heading: board[heading] for heading in shown if heading in board}
    kinds = "".join("l" if heading in ("cell", "verdict") else "r" for heading in columns)
    lines = [
        *comments,
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_caption(title, standings)}}}",
        rf"  \label{{tab:{re.sub(r'[^A-Za-z0-9.-]', '-', label)}}}",
        rf"  \begin{{tabular}}{{{kinds}}}",
        r"    \toprule",
        _line(columns),
        r"    \midrule",
        *map(_line, zip(*columns.values(), strict=True)),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"    {' & '.join(map(escape, cells))} \\\\"


def _caption(title: str, standings: Standings) -> str:
    n_seeds = sorted({len(values) for values in standings.values.values()})
    over = f"{n_seeds[0]} to {n_seeds[-1]}" if len(n_seeds) > 1 else f"{n_seeds[0]}"
    parts = [f"{title}.", say_answer(standings)]
    if n_seeds == [1]:
        parts.append("One seed each.")
    else:
        parts.append(f"Mean ± standard deviation over {over} seeds.")
    if any(math.isfinite(lead.margin) for lead in standings.leads.values()):
        level = say_level(standings.rule.alpha)
        parts.append(f"Intervals of the difference in the mean hold with {level}, all together.")
    if gaps := _gaps(standings):
        parts.append(f"Without a complete run: {gaps}.")
    return escape(" ".join(filter(None, parts)))


def _gaps(standings: Standings) -> str:
    """The cells that the table lacks, and what became of them."""
    missing: dict[str, set[Outcome]] = {}
    for entry in standings.entries:
        if entry.cell not in standings.values:
            missing.setdefault(entry.cell, set()).add(entry.outcome)
    return ", ".join(
        f"{standings.names[cell]} ({', '.join(sorted(outcomes))})"
        for cell, outcomes in missing.items()
    )
