"""`python -m bench.speed` as it is typed, at tiny sizes: every row, and what an end leaves."""

import contextlib
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from bench.speed import measure, sweep, time_to_loss
from bench.speed.__main__ import ROWS, main
from bench.speed.rows import Row, as_table
from gpt.cache import CACHE_VARIABLE, default_cache
from gpt.config import CorpusConfig, RunConfig
from gpt.errors import ConfigError, DataError
from gpt.presets import MODERN, NANOGPT


@contextlib.contextmanager
def _at_work_in(folder: Path, store: Path) -> Iterator[Path]:
    """An empty folder to record in, as the current one; torch's threads are put back.

    Its cache holds what takes long to make and is not timed: the embedded text, and the C++
    kernel if that was compiled before.
    """
    shutil.copy(store, folder / "mlflow.db")
    cache = folder / "cache"
    cache.mkdir()
    for name in ("native", "corpora"):
        made = default_cache() / name
        made.mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(made)
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(CACHE_VARIABLE, str(cache))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder
    torch.set_num_threads(threads)


@pytest.fixture
def here(tmp_path: Path, empty_store: Path) -> Iterator[Path]:
    with _at_work_in(tmp_path, empty_store) as folder:
        yield folder


def small(recipe: RunConfig, folder: Path) -> RunConfig:
    """A recipe as a run of a second, on a text in this folder."""
    (folder / "text.txt").write_text("To be, or not to be. " * 400, encoding="utf-8")
    return recipe.replace(
        corpus=CorpusConfig(name=str(folder / "text.txt")),
        model=replace(recipe.model, n_layer=1, n_embd=16, block_size=16),
    )


@dataclass(frozen=True)
class Measured:
    """What a command measured, and what it said of that."""

    rows: list[Row]
    result: Result

    def row(self, name: str) -> Row:
        """The one with this name."""
        [found] = [row for row in self.rows if row.name == name]
        return found


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory, empty_store: Path, checkout: Path) -> Measured:
    """A quick run of all rows but the sweep, which the slow test below is for."""
    only = [part for row in ROWS if row != "sweep" for part in ("--only", row)]
    options = ["--quick", "--device", "cpu", "--threads", "1", "--against", str(checkout)]
    rows: list[Row] = []
    measured = measure.measure

    def kept(*arguments: object) -> Iterator[Row]:
        for row in measured(*arguments):  # type: ignore[arg-type]
            rows.append(row)
            yield row

    with (
        _at_work_in(tmp_path_factory.mktemp("speed"), empty_store) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(measure, "measure", kept)
        patch.setattr("bench.speed.time_to_loss.NANOGPT", small(NANOGPT, folder))
        patch.setattr("bench.speed.time_to_loss.MODERN", small(MODERN, folder))
        patch.setattr(measure, "NANOGPT", small(NANOGPT, folder))
        return Measured(rows, CliRunner().invoke(main, [*options, *only]))


@pytest.mark.slow
def test_every_row_is_measured_and_printed(quick: Measured) -> None:
    assert quick.result.exit_code == 0, quick.result.output
    assert {row.name for row in quick.rows} >= {
        "compiling, shape tiny",
        "training tokens/s, shape tiny",
        "nanogpt preset, shape tiny",
        "share of the matmul ceiling, shape tiny",
        "seconds to 1.88 nats a character",
        "overhead of a run of 0.2 seconds",
        "generation, 20 tokens at T 16",
        "seconds to help",
    }
    for row in quick.rows:
        assert row.ratio is not None, row.note
        assert str(row) in quick.result.stderr


@pytest.mark.slow
def test_a_ratio_has_a_limit_that_products_alone_would_reach(quick: Measured) -> None:
    ours = [row for row in quick.rows if row.name == "training tokens/s, shape tiny"]

    assert len(ours) == 2
    for row in ours:
        assert row.ratio is not None
        assert row.limit is not None
        assert row.ratio < row.limit
    *_, last = as_table(ours).columns
    assert list(last.cells) == [f"{row.limit:.2f}" for row in ours]


@pytest.mark.slow
def test_shares_of_a_whole_are_shares(quick: Measured) -> None:
    for name in ("share of the matmul ceiling, shape tiny", "overhead of a run of 0.2 seconds"):
        assert 0 < (quick.row(name).ratio or 0) < 1


def test_a_race_without_its_text_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: object) -> None:
        raise DataError("tinyshakespeare.txt must have another SHA-256")

    monkeypatch.setattr(time_to_loss, "IsolatedIterator", absent)
    row = time_to_loss.target_row(device="cpu", parts=1, steps=2, corpora_dir=None)

    assert str(row).endswith("skipped: tinyshakespeare.txt must have another SHA-256")


def refuse() -> None:
    raise ConfigError("two must be there but isn't")


@pytest.mark.parametrize(
    ("end", "exit_code", "status", "words"),
    [
        (refuse, 2, "FAILED", "error: two must be there but isn't"),
        (partial(signal.raise_signal, signal.SIGTERM), 143, "KILLED", "Stopped."),
        (partial(signal.raise_signal, signal.SIGINT), 130, "KILLED", "Stopped."),
    ],
)
def test_what_was_measured_before_an_end_is_shown_and_kept(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[], None],
    exit_code: int,
    status: str,
    words: str,
) -> None:
    def measure(*_: object) -> Iterator[Row]:
        yield Row(name="one", baseline="another", ratios=[2.0])
        end()

    monkeypatch.setattr("bench.speed.measure.measure", measure)
    result = CliRunner().invoke(main, [])

    assert result.exit_code == exit_code
    assert result.stderr.splitlines() == ["one vs another: 2.00", words]
    assert "│ one │" in result.stdout
    [run] = MlflowClient(f"sqlite:///{here / 'mlflow.db'}").search_runs(["1"])
    assert run.data.metrics == {"speed/one vs another": 2.0}
    assert run.info.status == status


@pytest.mark.slow
def test_the_sweep_runs_both_ways(
    here: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each once, which stands for there and back."""

    def once(ways: Mapping[str, Callable[[], object]], **_: int) -> dict[str, Any]:
        for run in ways.values():
            run()
        return {"ours": np.array([[1.0, 1.0]]), "loop": np.array([[2.0, 2.0]])}

    monkeypatch.setattr(sweep, "interleave", once)
    result = CliRunner().invoke(main, ["--quick", "--only", "sweep"])

    assert result.exit_code == 0, result.output
    assert result.stderr == (
        "wall clock of a 24-run sweep vs a plain loop, log_metric a step: 2.00 (one round), "
        "undetermined\n"
    )
