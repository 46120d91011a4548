"""The results of studies as a pandas table: `bench.results.load("tokenizer_sweep")`.

Numbers and outcomes come from the ledgers, which know every run; ids, curves and files from
MLflow's record, if it is still there. Only what is missing then differs: `run_id`, and the curves.
No verdict is drawn here: `python -m bench.compare` and the leaderboard say what may be concluded.
"""

import ast
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import optuna
import pandas as pd

from bench.conclude.standings import names_of
from bench.ledger.entries import Entry, Reading
from bench.ledger.ledger import Ledger
from bench.ledger.outcome import Outcome
from bench.ledger.paths import LedgerFile, ledger_names, ledgers_of
from bench.record.database import RecordedRun
from bench.record.reading import curve_of, recorded_runs
from gpt.errors import ConfigError

OF_A_RUN = ("study", "part", "cell", "cell_key", "seed", "outcome", "reason", "attempt", "run_id")
"""The first columns: which run a row is, and what became of it."""

OF_A_POINT = ("study", "part", "cell", "cell_key", "seed", "run_id")
"""The first columns of the curves: which run a point belongs to."""

MEASURED = "_measured"
"""Ends the name of a number that is called like a setting: `context_bytes` was asked for, and
`context_bytes_measured` is what the text came to."""


class Runs(pd.DataFrame):  # type: ignore[misc]
    """A table with a row a run; parts of it are such tables too, and know their curves."""

    _metadata: ClassVar = ["folders"]
    folders: tuple[Path, ...] = ()
    """Where the studies were run."""

    @property
    def _constructor(self) -> type[Self]:
        return type(self)

    def __finalize__(self, other: Any, method: str | None = None, **options: Any) -> Self:
        """Keep the folders, also through `pd.concat` and `merge`, where pandas forgets them."""
        super().__finalize__(other, method, **options)
        parts = [other, *(getattr(other, name, None) for name in ("left", "right"))]
        parts += getattr(other, "objs", None) or getattr(other, "input_objs", None) or []
        known = [folder for part in parts for folder in getattr(part, "folders", ())]
        self.folders = tuple(dict.fromkeys(known))
        return self

    def curves(self) -> pd.DataFrame:
        """The points at which these runs were logged, a row each, in the order of the runs.

        Columns: study, part, cell, cell_key, seed, run_id, step, then those of the runs'
        `curve.csv`, such as `val_part/bpb`. A column that a run lacks is NaN in its rows. Complete
        runs without a recorded curve are warned about.

        Raises:
            ConfigError: this table lacks a column that says which run a row is.
            MachineError: a store of MLflow does not answer.
        """
        if missing := [name for name in OF_A_POINT if name not in self.columns]:
            raise ConfigError(f"curves need the columns of load but {', '.join(missing)} is gone")
        parts, lost = [], 0
        once = self[self["run_id"].isna() | ~self["run_id"].duplicated()]
        for _, run in once.iterrows():
            points = self._curve(run["run_id"])
            lost += points.empty and run.get("outcome") == Outcome.COMPLETE
            for place, name in enumerate(OF_A_POINT):
                points.insert(place, name, run[name])
            parts += [] if points.empty else [points]
        if lost:
            warnings.warn(f"{lost} complete runs have no recorded curve", stacklevel=2)
        if not parts:
            return pd.DataFrame(columns=[*OF_A_POINT, "step"])
        return pd.concat(parts, ignore_index=True)

    def _curve(self, run_id: Any) -> pd.DataFrame:
        if isinstance(run_id, str):
            for folder in self.folders or (Path(),):
                if not (points := curve_of(run_id, folder)).empty:
                    return points
        return pd.DataFrame({"step": []})


def load(*studies: str | Path, folder: str | Path = ".") -> Runs:
    """The runs of studies, a row each, in the order in which they were begun.

    A study's parts come with it, told apart by the column `part`: of a search, the race of its
    best (`finals`); of a grid, its best cell measured again (`confirmation`). One run of each
    point of a search was looked at to find the best: what these say of it is too good.

    Columns: study, part, cell, cell_key, seed, outcome, reason, attempt, run_id; then the settings
    (named as `--set` names them; what was left to the text or the machine as it was settled), the
    final numbers (`val_bits_per_byte`, `tokens_per_second`, ...: NaN where a run has none) and
    what else is known (`corpus_digest`, `device_name`, ...). No name occurs twice.

    Args:
        studies: names, or paths of ledgers (`mlruns/ledger/NAME.journal`), also of other folders.
        folder: where named studies were run.

    Raises:
        ConfigError: there is no such study; the message names those that are there. Or `folder`
            is no path.
        MachineError: a ledger can't be read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not isinstance(folder, str | Path) or folder == "":
        raise ConfigError(f"folder must be that of a study but got {folder!r}")
    root = Path(folder)
    if not studies:
        there = ", ".join(ledger_names(root)) or "none was run there"
        raise ConfigError(f"load takes at least one study but got none; there are: {there}")
    found = [ledger for study in studies for ledger in ledgers_of(str(study), root)]
    ledgers = list({ledger.path: ledger for ledger in found}.values())
    n_same = Counter((ledger.study, ledger.part) for ledger in ledgers if ledger.part == "study")
    rows: list[_Row] = []
    for ledger in ledgers:
        twice = n_same[ledger.study, "study"] > 1
        name = str(ledger.folder / ledger.study) if twice else ledger.study
        of_ledger = _rows_of(ledger, Ledger.read(ledger.path), name)
        if not of_ledger:
            warnings.warn(f"no run of {ledger.path.stem} has ended yet", stacklevel=2)
        rows += of_ledger
    runs = _table(rows)
    runs.folders = tuple(dict.fromkeys(ledger.folder.absolute() for ledger in ledgers))
    return runs


class _Row:
    """A run's columns, by their kinds."""

    def __init__(self, first: dict[str, Any], entry: Entry, run: RecordedRun | None) -> None:
        self.first = first
        asked = entry.config.flat()
        self.settings = {
            name: _settled(name, asked, entry.facts, run.params if run else {})
            for name in asked
            if name not in OF_A_RUN
        }
        taken = {*asked, *OF_A_RUN}
        self.numbers = {n + MEASURED * (n in taken): v for n, v in entry.summary.items()}
        measured = {"context_bytes": f"context_bytes{MEASURED}"}
        facts = {measured.get(name, name): value for name, value in entry.facts.items()}
        self.facts = {name: value for name, value in facts.items() if name not in taken}


def _rows_of(ledger: LedgerFile, reading: Reading, study: str) -> list[_Row]:
    names = names_of(reading.entries)
    recorded = recorded_runs(reading.id, [e.attempt for e in reading.entries], ledger.folder)
    rows = []
    for entry in reading.entries:
        run = recorded.get(entry.attempt)
        first = {
            "study": study,
            "part": ledger.part,
            "cell": names[entry.cell],
            "cell_key": entry.cell,
            "seed": entry.config.train.seed,
            "outcome": entry.outcome.value,
            "reason": entry.reason,
            "attempt": entry.attempt,
            "run_id": run.run_id if run else None,
        }
        rows.append(_Row(first, entry, run))
    return rows


def _settled(
    name: str, asked: Mapping[str, Any], facts: Mapping[str, Any], recorded: Mapping[str, str]
) -> Any:
    """A setting as the run had it: a config leaves some to the text or to the machine."""
    if name == "block_size" and asked["context_bytes"] is not None:
        sized = "bytes_per_token" in facts
        return round(facts["context_bytes"] / facts["bytes_per_token"]) if sized else None
    if asked[name] not in (None, "auto") or name == "context_bytes":
        return asked[name]
    if name in facts:
        return facts[name]
    value = recorded.get(name, asked[name])
    with suppress(ValueError, SyntaxError):
        value = ast.literal_eval(str(value))
    return value


def _table(rows: Sequence[_Row]) -> Runs:
    settings = dict.fromkeys(name for row in rows for name in row.settings)
    numbers = dict.fromkeys(name for row in rows for name in row.numbers)
    facts = dict.fromkeys(name for row in rows for name in row.facts if name not in numbers)
    columns = [*OF_A_RUN, *settings, *numbers, *facts]
    return Runs(
        [row.first | row.facts | row.settings | row.numbers for row in rows], columns=columns
    )
