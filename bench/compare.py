"""`python -m bench.compare STUDY "CELL A" "CELL B"`: is A better than B, by what was recorded?

Cells are named as the leaderboard names them. With `--against` the second cell is taken from
another study, or from a ledger that `--fresh` set aside: so one cell can be compared with itself
before a change of the code.

Within one study the verdict is the leaderboard's, corrected over all pairs of its cells, for
nobody picks two cells without having looked. Ledgers are read, never written.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click
import optuna
from rich.console import Console
from rich.table import Table

from bench.command import STORE
from bench.leaderboard import TITLES, say_evidence, say_lead
from bench.ledger import Entry, Ledger
from bench.outcome import Outcome
from bench.refusal import refusals
from bench.spec import Metric
from bench.standings import compare_entries, merit, refuse_unlike, say_gain
from bench.stats import CellComparison, Rule
from gpt.errors import ConfigError


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.argument("study")
@click.argument("cell_a")
@click.argument("cell_b")
@click.option("--against", metavar="STUDY", help="Take the second cell from this study instead.")
@click.option("--metric", type=click.Choice(get_args(Metric)), default="val_bits_per_byte",
              show_default=True, help="What to compare.")  # fmt: skip
@click.option("--speed", is_flag=True, help="Compare tokens per second.")
@click.option("--alpha", type=float, default=0.01, show_default=True, help="Chance of any false "
              "difference; intervals have level 1 − alpha.")  # fmt: skip
def main(
    study: str,
    cell_a: str,
    cell_b: str,
    against: str | None,
    metric: Metric,
    speed: bool,
    alpha: float,
) -> None:
    """Compare CELL_A with CELL_B of STUDY, seed by seed.

    STUDY is the name of a study that was run in the current folder, or the path of a ledger
    (mlruns/ledger/*.journal).

    Exit codes: 0 compared, whatever the verdict; 2 the cells can't be compared.
    """
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    with refusals():
        _compare(
            read_complete(study),
            read_complete(against) if against else None,
            (cell_a, cell_b),
            "tokens_per_second" if speed else metric,
            Rule(alpha=alpha),
            console,
        )


def read_complete(study: str) -> list[Entry]:
    """The complete runs in the ledger of a study, by name or by path.

    Raises:
        ConfigError: there is no such ledger.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = Path(study) if study.endswith(".journal") else STORE / "ledger" / f"{study}.journal"
    return [entry for entry in Ledger.read(path) if entry.outcome is Outcome.COMPLETE]


def _compare(
    entries: list[Entry],
    others: list[Entry] | None,
    cells: tuple[str, str],
    metric: Metric,
    rule: Rule,
    console: Console,
) -> None:
    one = _runs_of(cells[0], entries, metric)
    other = _runs_of(cells[1], entries if others is None else others, metric)
    refuse_unlike([*one, *other], metric)
    if others is None:
        family, names = _family(entries, one, metric), cells
    else:
        names = (f"{cells[0]} (1)", f"{cells[1]} (2)")
        family = [replace(run, label=names[0]) for run in one]
        family += [replace(run, label=names[1]) for run in other]
    comparison = compare_entries(family, metric, rule)[names]
    console.print(_table(names, one, other, metric))
    console.print(
        f"{names[0]} is ahead by {say_lead(metric, comparison)} ({1 - rule.alpha:.0%} interval): "
        f"{_say_verdict(names, comparison)}."
    )
    console.print(say_evidence(metric, comparison), style="dim")
    if metric == "tokens_per_second":
        console.print("Whole runs, not taken in turn: a drift may remain.", style="dim")


def _runs_of(cell: str, entries: Sequence[Entry], metric: Metric) -> list[Entry]:
    found = [entry for entry in entries if entry.label == cell]
    if not found:
        known = ", ".join(dict.fromkeys(repr(entry.label) for entry in entries))
        raise ConfigError(f"a cell must have a complete run but got {cell!r}; known: {known}")
    if metric not in found[0].summary:
        raise ConfigError(f"the runs of {cell!r} have no {metric}")
    return found


def _family(entries: Sequence[Entry], one: Sequence[Entry], metric: Metric) -> list[Entry]:
    """The runs of all cells of a study that might have been compared with the one."""
    family = []
    for label in dict.fromkeys(entry.label for entry in entries):
        runs = [entry for entry in entries if entry.label == label]
        try:
            refuse_unlike([*one, *runs], metric)
        except ConfigError:
            continue
        family += runs
    return family


def _table(
    names: tuple[str, str], one: Sequence[Entry], other: Sequence[Entry], metric: Metric
) -> Table:
    table = Table(title=TITLES[metric], title_justify="left", header_style="bold", box=None)
    for heading in ("seed", *names, "ahead by"):
        table.add_column(heading, justify="right")
    values = [
        {run.config.train.seed: run.summary[metric] for run in runs} for runs in (one, other)
    ]
    for seed in sorted(values[0].keys() | values[1].keys()):
        pair = [column.get(seed) for column in values]
        shown = ["—" if value is None else f"{value:,.4f}" for value in pair]
        gain = "—"
        if pair[0] is not None and pair[1] is not None:
            gain = say_gain(metric, merit(metric, pair[0]) - merit(metric, pair[1]))
        table.add_row(str(seed), *shown, gain)
    return table


def _say_verdict(names: tuple[str, str], comparison: CellComparison) -> str:
    verdict = comparison.verdict
    return {"better": f"{names[0]} is better", "worse": f"{names[1]} is better"}.get(
        verdict, "a tie" if verdict == "tie" else "undetermined"
    )


if __name__ == "__main__":
    main()
