"""All that a report tells of a study, gathered from its ledgers and the record of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import optuna
import pandas as pd

from bench.cells.grid import Dropped
from bench.conclude.standings import Standings
from bench.drawing import Style, styles
from bench.ledger.entries import Entry, Reading
from bench.ledger.ledger import Ledger
from bench.ledger.outcome import Outcome
from bench.ledger.paths import ledgers_of
from bench.plan.about import CONFIRMATION_NOTE, About
from bench.record.reading import artifact
from bench.report.lacking import say_lacking, say_unfinished
from bench.results import Runs, load
from bench.results.board import board_of
from gpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Story:
    """A study, its runs, and what may be concluded from them."""

    name: str
    """Of its ledger."""

    about: About
    standings: Standings
    """Of the cells that the answer is about: a grid's, or the finalists of a search."""

    runs: Runs
    """Of these cells, a row a run; `cell` is a cell's name, `cell_key` its key."""

    searched: optuna.Study | None
    """For a search, all its trials."""

    dropped: Sequence[Dropped]
    """Points that have no valid config."""

    before_finals: Sequence[Entry]
    """The runs of a search that ended in finals."""

    confirmation: str
    """The best measured again, in a sentence; "" if it was not."""

    folder: Path
    """Where the study was run."""

    ended: datetime | None = None
    """When its last run ended, in the local time of the machine; None if none did."""

    unfinished: str = ""
    """That runs are left to be made, in a sentence; "" if none are."""

    @classmethod
    def of(cls, study: str, folder: Path = Path()) -> Self:
        """The story of a study that was run in a folder.

        Args:
            study: its name, or the path of its ledger.

        Raises:
            ConfigError: there is no such study, or its ledger doesn't say what it is about.
            MachineError: a ledger can't be read.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        first, *parts = ledgers_of(study, folder)
        own = Ledger.read(first.path)
        about = About.read(own)
        if about is None:
            raise ConfigError(
                f"the ledger of {first.path.stem} must say what its study is about but an earlier "
                "version wrote it; run the study's command again"
            )
        board = board_of(str(first.path))
        standings, part = board.standings, board.ledger.part
        runs = load(first.path)
        leader = standings.order[0] if standings.order else None
        read = {part.path.stem: Ledger.read(part.path) for part in parts}
        sentences = (
            reading.noted(CONFIRMATION_NOTE)
            for stem, reading in read.items()
            if stem.endswith(f".test-{leader}")
        )
        return cls(
            name=first.path.stem,
            about=about,
            standings=standings,
            runs=runs[runs.part == part],
            searched=None if about.params else own.study,
            dropped=own.dropped,
            before_finals=own.entries if part == "finals" else [],
            confirmation=next(filter(None, sentences), ""),
            folder=first.folder,
            unfinished=say_unfinished(about, standings, [own, *read.values()]),
            ended=max(filter(None, map(_end_of, (own, *read.values()))), default=None),
        )

    @cached_property
    def curves(self) -> pd.DataFrame:
        """A row a point of the runs; empty where no curve is left."""
        return self.runs.curves()

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Cell, by its key -> how it is called."""
        return self.standings.names

    @cached_property
    def order(self) -> list[str]:
        """Keys of all cells with complete runs, best first, what is not ranked last."""
        complete = dict.fromkeys(entry.cell for entry in self.standings.complete)
        return list(dict.fromkeys([*self.standings.order, *complete]))

    @cached_property
    def complete(self) -> Runs:
        """The runs that have numbers."""
        found: Runs = self.runs[self.runs.outcome == Outcome.COMPLETE.value]
        return found

    @cached_property
    def lacking(self) -> str:
        """What of the complete runs is not recorded, or has no files any more; "" if all is."""
        return say_lacking(self.complete, self.folder)

    def text_of(self, runs: Runs, name: str) -> str | None:
        """A text file of the first of some runs that has it."""
        for run_id in runs.run_id:
            if isinstance(run_id, str) and (path := artifact(run_id, name, self.folder)):
                return path.read_text("utf-8")
        return None

    @cached_property
    def styles(self) -> dict[str, Style]:
        """Cell, by its key -> its colour, marker and line, the same in every picture."""
        return styles(entry.cell for entry in self.standings.entries)

    @cached_property
    def params(self) -> dict[str, Mapping[str, Any]]:
        """Cell, by its key -> what was chosen for it."""
        return {key: self.about.params.get(key, {}) for key in self.names}


def _end_of(reading: Reading) -> datetime | None:
    trials = reading.study.get_trials(deepcopy=False)
    return max((t.datetime_complete for t in trials if t.datetime_complete), default=None)
