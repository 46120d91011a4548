"""What was recorded of a run: its id, its curve and its files, from whatever store holds them.

A SQLite file is read directly (`bench.record.database`); for any other store MLflow is asked,
whose import takes a second, and files that lie elsewhere are fetched. No store is written to.
"""

import warnings
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import pandas as pd

from bench.record import database
from bench.record.database import RecordedRun, Series, stores_of
from gpt.errors import MachineError

CURVE = "curve.csv"

EARLIER_NAMES = {
    "val/bits_per_byte": "val/bpb",
    "val_part/bits_per_byte": "val_part/bpb",
    "speed/tokens_per_second": "speed/tokens_s",
    "speed/step_milliseconds": "speed/step_ms",
}
"""A curve's columns as earlier versions wrote them -> as they are called now."""


def recorded_runs(
    ledger: str, attempts: Collection[str], folder: Path = Path()
) -> dict[str, RecordedRun]:
    """The recorded runs of a ledger, by attempt.

    Of two stores that hold a run, that one counts which has its files. A store that is needed and
    does not answer is warned about, and taken as empty.

    Args:
        ledger: its id.
        attempts: those that are wanted.
        folder: where the study was run.
    """
    runs: dict[str, RecordedRun] = {}
    for address in stores_of(folder):
        if all(attempt in runs and not runs[attempt].restored for attempt in attempts):
            break
        try:
            found = _runs_of(address, ledger)
        except MachineError as error:
            first_line = str(error).partition("\n")[0]
            warnings.warn(f"runs are without id, curve and files: {first_line}", stacklevel=2)
            continue
        for attempt, run in found.items():
            if attempt not in runs or (runs[attempt].restored and not run.restored):
                runs[attempt] = run
    return runs


def is_recorded(run_id: str, folder: Path = Path()) -> bool:
    """Whether a store holds a run; raises as `artifact`."""
    return any(_files_of(address, run_id) for address in stores_of(folder))


def artifact(run_id: str, name: str, folder: Path = Path()) -> Path | None:
    """A file of a recorded run; None if there is no such run or file.

    Args:
        name: `curve.csv`, or a path such as `tokenizer/tokenizer.json`.
        folder: where the run's study was run.

    Raises:
        MachineError: a store does not answer.
    """
    for address in stores_of(folder):
        if not (files := _files_of(address, run_id)):
            continue
        found = database.local_file(address, files, name)
        if found is None and database.database_file(address) is None:
            from bench.record.tracking import reading

            found = reading.fetch(address, run_id, name)
        if found is not None or database.is_local(files):
            return found
    return None


def curve_of(run_id: str, folder: Path = Path()) -> pd.DataFrame:
    """The points of a recorded run, a row each: `step`, then the columns of its `curve.csv`.

    Where that file is gone or no table, the same from MLflow's metrics. No rows if nothing is
    recorded. Raises as `artifact`.
    """
    if path := artifact(run_id, CURVE, folder):
        with suppress(ValueError):  # what pandas raises at what is no table is one
            points = pd.read_csv(path)
            if "step" in points:
                return points.rename(columns=EARLIER_NAMES)
    holding = (address for address in stores_of(folder) if _files_of(address, run_id))
    rows = next((_rows(_series_of(address, run_id)) for address in holding), [])
    return pd.DataFrame(rows or {"step": []}).rename(columns=EARLIER_NAMES)


def _rows(series: Series) -> list[dict[str, float]]:
    """The values of each step; `final/…` belongs to no step, and `mean/…` to no run alone."""
    rows: dict[int, dict[str, float]] = {}
    for name, step, value in series:
        if not name.startswith(("final/", "mean/")):
            rows.setdefault(step, {"step": step})[name] = value
    return [rows[step] for step in sorted(rows)]


def _runs_of(address: str, ledger: str) -> dict[str, RecordedRun]:
    if (found := database.runs_of(address, ledger)) is not None:
        return found
    from bench.record.tracking import reading

    return reading.runs_of(address, ledger)


def _files_of(address: str, run_id: str) -> str:
    if (found := database.files_of(address, run_id)) is not None:
        return found
    from bench.record.tracking import reading

    return reading.files_of(address, run_id)


def _series_of(address: str, run_id: str) -> Series:
    if (found := database.series_of(address, run_id)) is not None:
        return found
    from bench.record.tracking import reading

    return reading.series_of(address, run_id)
