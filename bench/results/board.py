"""What may be concluded of a study that was run, read from its ledgers alone."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import optuna

from bench.conclude.looks import as_looks, rule_of
from bench.conclude.standings import Standings
from bench.ledger.ledger import Ledger
from bench.ledger.outcome import Outcome
from bench.ledger.paths import LedgerFile, ledgers_of
from bench.metrics import Metric
from bench.plan.about import About
from gpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Board:
    """The standings of a study's cells."""

    title: str
    """For people."""

    ledger: LedgerFile
    standings: Standings


def board_of(study: str, folder: Path = Path(), metric: Metric | None = None) -> Board:
    """The board of a study; of a search, that of its best, which were raced on fresh seeds.

    Where a ledger of an earlier version does not say what ranks its study, that is guessed, with a
    warning.

    Args:
        study: its name, or the path of a ledger.
        folder: where a named study was run.
        metric: what ranks the cells; None: what ranks the study.

    Raises:
        ConfigError: there is no such study, or its runs lack the metric.
        MachineError: its ledger can't be read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ledgers = ledgers_of(study, folder)
    ledger = next((found for found in ledgers if found.part == "finals"), ledgers[0])
    reading = Ledger.read(ledger.path)
    own = ledger.path.with_name(f"{ledger.study}.journal")
    about = About.read(reading if own == ledger.path else Ledger.read(own))
    ranks = metric or (about.metric if about else None)
    if ranks is None:
        largest = reading.study.direction == optuna.study.StudyDirection.MAXIMIZE
        ranks = "tokens_per_second" if largest else "val_bits_per_byte"
        warnings.warn(
            f"{ledger.path.stem} does not say what ranks its cells: {ranks} is taken; --metric "
            "takes another",
            stacklevel=2,
        )
    complete = [entry for entry in reading.entries if entry.outcome is Outcome.COMPLETE]
    if any(ranks not in entry.summary for entry in complete):
        raise ConfigError(f"the runs of {ledger.path.stem} must have the metric but lack {ranks}")
    matters = about.matters if about and about.metric == ranks else None
    standings = Standings(
        entries=reading.entries,
        metric=ranks,
        rule=rule_of(ranks, matters),
        looks=as_looks(reading.looks),
        params=about.params if about else {},
    )
    return Board(
        title=about.title if about else ledger.path.stem, ledger=ledger, standings=standings
    )
