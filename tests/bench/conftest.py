"""One tiny finished study for the tests that look, and an empty folder for those that run one.

A new MLflow database costs more than such a study, so one is made and copied.
"""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest
from ledgers import GRID, IDENTITY, Open
from mlflow import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine
from workplace import VERSE, Finished, Workplace

from bench.cells.grid import enumerate_grid
from bench.ledger.ledger import Ledger
from bench.run.executor import LocalExecutor
from bench.run.messages import Folders, Prepare, Train
from bench.spec import Study
from gpt.config import Budget, CorpusConfig, ModelConfig, RunConfig, TrainConfig

if TYPE_CHECKING:
    from servers import Server

SONG = "".join(map(VERSE.format, range(40, 0, -1)))
SECRET = "xyzzy-4711-plugh"


@event.listens_for(Engine, "connect")
def _write_lazily(connection: object, _: object) -> None:
    """MLflow's databases need not reach the disk, for no test cuts the power."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without any experiment of ours."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@contextlib.contextmanager
def _at_work_in(folder: Path) -> Iterator[Workplace]:
    (folder / "song.txt").write_text(SONG, encoding="utf-8")
    place = Workplace(folder)
    place.temporary.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GPT_BENCH_CACHE", str(folder / "cache"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(tempfile, "tempdir", str(place.temporary))
        patch.setattr(
            "bench.plan.workers.cpu_count", lambda: 1
        )  # one thread: quick, and repeatable
        patch.setattr("bench.plan.foresee.shapes_of", lambda *_: {})  # no plan times anything
        try:
            yield place
        finally:
            place.kill_what_is_left()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Workplace]:
    """A folder in which no command was ever run, as the current one."""
    with _at_work_in(tmp_path) as place:
        yield place


@pytest.fixture
def place(bare: Workplace, empty_store: Path) -> Workplace:
    """The same with a database, which is then not made anew."""
    shutil.copy(empty_store, bare.folder / "mlflow.db")
    return bare


@pytest.fixture
def server(place: Workplace) -> Iterator["Server"]:
    """A tracking server over the database of `place`; imported by those who need it alone."""
    from servers import serving

    with serving(place.folder) as server:
        yield server


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Finished:
    """Two cells with two seeds each, run to their end with a secret in the environment."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(empty_store, folder / "mlflow.db")
    with _at_work_in(folder) as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANTED_TOKEN", SECRET)
        return Finished(place, place.run(place.write(), "--workers", 2))


SWEEP = """
kind = choose(trial, "tokenizer", ["byte", "char", "unigram", "bpe"])
vocab_size = {"unigram": 292, "bpe": 9_000}.get(kind)
tokenizer = TokenizerConfig(kind=kind, vocab_size=vocab_size, byte_fallback=kind != "char")
model = replace(BASE.model, context_bytes=20)
return replace(BASE, tokenizer=tokenizer, model=model)
"""


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Finished:
    """Three tokenizers with two seeds each, and one that can't exist on this text."""
    folder = tmp_path_factory.mktemp("swept")
    shutil.copy(empty_store, folder / "mlflow.db")
    with _at_work_in(folder) as place:
        return Finished(place, place.run(place.write("sweep", cell=SWEEP), "--workers", 1))


@pytest.fixture
def secret() -> str:
    """What was in the environment while the finished study ran."""
    return SECRET


@pytest.fixture
def tiny(tmp_path: Path) -> RunConfig:
    """A run of a tiny GPT on a song, on the CPU."""
    path = tmp_path / "song.txt"
    path.write_text(SONG, "utf-8")
    return RunConfig(
        corpus=CorpusConfig(name=str(path)),
        model=ModelConfig(n_layer=1, n_head=2, n_embd=16, block_size=16),
        train=TrainConfig(budget=Budget(steps=12), batch_size=4, sample_tokens=20, device="cpu"),
    )


@pytest.fixture
def prepare(tiny: RunConfig, tmp_path: Path) -> Prepare:
    """A task of milliseconds."""
    return Prepare(config=tiny, folders=Folders(cache=tmp_path / "cache", corpora_dir=None))


@pytest.fixture
def endless(tiny: RunConfig, prepare: Prepare, tmp_path: Path) -> Train:
    """A task that ends when it is told to."""
    budget = Budget(steps=10_000_000)
    config = replace(tiny, train=replace(tiny.train, budget=budget, log_interval=1))
    return Train(config=config, folders=prepare.folders, folder=tmp_path / "run")


@pytest.fixture
def faulty(prepare: Prepare, tmp_path: Path) -> Prepare:
    """A task whose text is empty."""
    path = tmp_path / "empty.txt"
    path.touch()
    corpus = replace(prepare.config.corpus, name=str(path))
    return replace(prepare, config=replace(prepare.config, corpus=corpus))


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "study.journal"


@pytest.fixture
def open_ledger(ledger_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the ledger of a study, with its missing runs queued, as a launch does.

    Nothing needs to reach the disk, for no test cuts the power.
    """
    monkeypatch.setattr(os, "fsync", lambda _: None)
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    @contextlib.contextmanager
    def opened(
        study: Study = GRID,
        *,
        seeds: int | None = None,
        identity: Mapping[str, str] = IDENTITY,
        fresh: bool = False,
    ) -> Iterator[Ledger]:
        with Ledger.open(
            ledger_path,
            study,
            overrides={},
            identity=identity,
            fresh=fresh,
        ) as ledger:
            cells = [] if study.search else enumerate_grid(study, {}).cells
            ledger.enqueue(cells, seeds or (2 if study.seeds == "auto" else study.seeds))
            yield ledger

    return opened


@pytest.fixture
def start_executor() -> Iterator[Callable[[int], LocalExecutor]]:
    """Makes pools of workers with one thread each, and ends them."""
    with contextlib.ExitStack() as stack:

        def start(n_workers: int) -> LocalExecutor:
            executor = LocalExecutor(n_workers, n_threads=1)
            stack.callback(executor.close)
            return executor

        yield start
