"""The model and the tokenizer that a recorded run left among its files.

Weights are read by safetensors, never by pickle, and must be those of the run's own config.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_model

from bench.ledger.outcome import Outcome
from bench.ledger.paths import ledger_names, ledgers_of
from bench.metrics import merit
from bench.record.reading import artifact, is_recorded
from bench.results.board import board_of
from bench.results.saved_tokenizer import load_saved_tokenizer, refuse_no_text
from bench.results.table import load
from gpt.config import RunConfig
from gpt.device import resolve_device
from gpt.errors import ConfigError, DataError
from gpt.model.gpt import LanguageModel, build_model
from gpt.tokenizers import Tokenizer

WEIGHTS = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class SavedRun:
    """What a run learned."""

    model: LanguageModel
    """In float32, on the best device that is here."""

    tokenizer: Tokenizer


def run_id_of(run: str, cell: str | None, folder: Path = Path()) -> tuple[str, Path]:
    """The id of the run that is meant, and the folder whose store holds it.

    Args:
        run: an id; with `cell`, a study.
        cell: label or key; its best complete run is taken, by what ranks the study.
        folder: where it was run.

    Raises:
        ConfigError: there is no such run, study or cell.
        DataError: that run is not in MLflow's record.
        MachineError: a ledger or a store can't be read.
    """
    refuse_no_text(run)
    refuse_no_text(cell or "")
    if cell is not None:
        return _best_run(run, cell, folder)
    if is_recorded(run, folder):
        return run, folder
    studies = ledger_names(folder)
    if run in studies or run.endswith((".py", ".journal")):
        names = ", ".join(load(run, folder=folder).cell.unique())
        raise ConfigError(f"of a study one cell must be named: add --cell; there are: {names}")
    there = f"; studies: {', '.join(studies)}" if studies else ""
    raise ConfigError(
        f"RUN must be the id of a recorded run, or a study with --cell, but got {run!r}{there}"
    )


def _best_run(study: str, cell: str, folder: Path) -> tuple[str, Path]:
    metric = board_of(study, folder).standings.metric
    runs = load(study, folder=folder)
    complete = runs[runs.outcome == Outcome.COMPLETE]
    found = complete[(complete.cell == cell) | (complete.cell_key == cell)]
    if found.empty:
        names = ", ".join(complete.cell.unique()) or "none"
        raise ConfigError(f"a cell must have a complete run but got {cell!r}; known: {names}")
    best = found.loc[found[metric].map(lambda value: merit(metric, value)).idxmax()]
    if not isinstance(best.run_id, str):
        raise DataError(
            f"the best run of {best.cell} (seed {best.seed}) must be in MLflow's record but is not"
        )
    return best.run_id, ledgers_of(study, folder)[0].folder


def load_saved(run_id: str, folder: Path = Path()) -> SavedRun:
    """The model and the tokenizer of a recorded run.

    Args:
        folder: where it was run.

    Raises:
        DataError: a file is missing, is damaged, or belongs to another run.
        MachineError: the store does not answer.
    """
    tokenizer = load_saved_tokenizer(run_id, folder)
    config = _config(_file(run_id, "config.json", folder))
    weights = _file(run_id, WEIGHTS, folder)
    with torch.random.fork_rng(devices=[]):
        model = build_model(
            dataclasses.replace(config.model, kernel="sdpa"), tokenizer.vocab_size
        )  # the run's own kernel may not exist here
    try:
        with safetensors.safe_open(weights, "pt") as file:
            key = (file.metadata() or {}).get("run")
        if key != config.key:
            raise DataError(
                f"{weights} must be of run {config.key}, as its config, but is of {key}"
            )
        load_model(model, weights)
    except (safetensors.SafetensorError, RuntimeError, OSError) as error:
        first_line = str(error).partition("\n")[0]
        raise DataError(
            f"{weights} must hold the weights of its config but can't be read: {first_line}"
        ) from error
    return SavedRun(model=model.to(resolve_device("auto")).eval(), tokenizer=tokenizer)


def _file(run_id: str, name: str, folder: Path) -> Path:
    if (path := artifact(run_id, name, folder)) is None:
        raise DataError(
            f"run {run_id} must have {name} among its files but has not: it ended before, or was "
            "recorded again from the ledger"
        )
    return path


def _config(path: Path) -> RunConfig:
    try:
        return RunConfig.from_json(path.read_text("utf-8"))
    except (ConfigError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a run's config but is not: {error}") from error
