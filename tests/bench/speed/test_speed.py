"""The table of `python -m bench.speed`: its arithmetic on numbers, and a quick run of the rest."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from click.testing import CliRunner
from mlflow import MlflowClient
from rich.console import Console
from workplace import gone

from bench.speed import training
from bench.speed.__main__ import ROWS, main
from bench.speed.isolated import Lane
from bench.speed.latency import recompute
from bench.speed.reference import Reference
from bench.speed.rows import Row, a_a, as_table, ratios
from bench.speed.shapes import TINY, as_the_originals, fastest, nanogpt_at, write_text
from bench.speed.training import training_rows
from bench.system.interruption import Stopped, raised
from gpt.attention.cache import KVCache
from gpt.cache import CACHE_VARIABLE, default_cache
from gpt.corpora import CORPORA_VARIABLE
from gpt.errors import ConfigError, MachineError
from gpt.generate import generate
from gpt.model.gpt import build_model
from gpt.training.setup import Setup, set_up

FAKE_NANOGPT = """
import torch
from dataclasses import dataclass

@dataclass
class GPTConfig:
    block_size: int
    vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    dropout: float
    bias: bool

class GPT(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.table = torch.nn.Embedding(config.vocab_size, config.vocab_size)
        print("number of parameters: few")

    def forward(self, idx, targets):
        logits = self.table(idx)
        return logits, torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        return torch.optim.SGD(self.parameters(), lr=10.0)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to record in, without corpora; torch's threads are put back.

    Its cache holds the C++ kernel alone, if that was compiled before.
    """
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / "cache"
    cache.mkdir()
    compiled = default_cache() / "native"
    compiled.mkdir(parents=True, exist_ok=True)
    (cache / "native").symlink_to(compiled)
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(FAKE_NANOGPT, encoding="utf-8")
    return tmp_path


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    config = nanogpt_at(TINY, write_text(TINY, tmp_path), "cpu")
    return set_up(config, cache=tmp_path / "cache")


def test_a_ratio_is_of_both_passes_of_a_round() -> None:
    slow, fast = np.array([[3.0, 5.0], [2.0, 2.0]]), np.array([[1.0, 3.0], [1.0, 1.0]])
    assert ratios(slow, fast) == [2.0, 2.0]


@pytest.mark.parametrize(
    ("ratios", "target", "at_most", "met"),
    [
        ([1.0, 3.0, 9.0], 3.0, False, True),
        ([1.0, 2.9, 9.0], 3.0, False, False),
        ([0.01, 0.02], 0.02, True, True),
        ([0.5], 0.4, True, False),
        ([], 3.0, False, None),
        ([5.0], None, False, None),
    ],
)
def test_the_median_meets_the_target_or_does_not(
    ratios: list[float], target: float | None, at_most: bool, met: bool | None
) -> None:
    assert Row(name="row", ratios=ratios, target=target, at_most=at_most).met is met


def test_the_table_shows_spread_and_what_was_skipped() -> None:
    table = as_table(
        [
            Row(name="one", ratios=[1.0, 2.0, 4.0], target=3.0),
            Row(name="two", note="no text"),
            Row(name="three", ratios=[0.0124], target=0.02, at_most=True),
        ]
    )
    cells = [list(column.cells) for column in table.columns]

    ratio, spread = ["2.00", "–", "0.012"], ["1.00–4.00", "", "one round"]
    target, met, nothing = ["≥ 3", "", "≤ 0.02"], ["no", "", "yes"], ["", "", ""]
    assert cells[3:] == [ratio, spread, nothing, target, met, nothing]
    assert cells[1][1] == "skipped: no text"


def test_a_ratio_has_a_limit_that_products_alone_would_reach(tmp_path: Path) -> None:
    rows = training_rows(TINY, device="cpu", against=None, rounds=1, folder=tmp_path)
    ours = [row for row in rows if row.name == "training tokens/s, shape tiny"]

    for row in ours:
        assert row.ratio is not None
        assert row.limit is not None
        assert row.ratio < row.limit
    *_, last = as_table(ours).columns
    assert list(last.cells) == [f"{row.limit:.2f}" for row in ours]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_ceiling_is_of_the_precision_that_ours_computes_in(
    dtype: str, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run in float32 is not to be measured by what bfloat16 could do."""
    speeds = {torch.float32: 100.0, torch.bfloat16: 400.0}
    monkeypatch.setattr(training, "measure_matmul", lambda _, dtype: speeds[dtype])
    ours = replace(setup, config=setup.config.override({"dtype": dtype}))

    assert training._ceiling(ours) == speeds[getattr(torch, dtype)]


def test_a_text_has_as_many_characters_as_the_shape_says(setup: Setup) -> None:
    assert setup.model.vocab_size == TINY.V


def test_the_recipes_differ_in_means_alone(setup: Setup) -> None:
    """Same shape, batch, update and number of weights."""
    plain = setup.config
    for config in (fastest(plain), as_the_originals(plain)):
        assert config.train.batch_size == plain.train.batch_size
        assert config.optimizer.learning_rate == plain.optimizer.learning_rate
        model = build_model(config.model, TINY.V) if config.model.kernel != "auto" else None
        assert model is None or model.n_params == setup.model.n_params


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler's own
@pytest.mark.parametrize("gpu_defaults", [False, True])
def test_the_reference_is_trained_by_its_own_model(
    gpu_defaults: bool,
    checkout: Path,
    setup: Setup,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    products = torch.backends.cuda.matmul
    request.addfinalizer(partial(setattr, products, "allow_tf32", products.allow_tf32))
    torch.manual_seed(0)
    reference = Reference(checkout, setup, gpu_defaults=gpu_defaults)
    losses = [float(reference.step()) for _ in range(30)]

    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert capsys.readouterr().out == ""


def test_a_checkout_without_a_model_is_refused(tmp_path: Path, setup: Setup) -> None:
    with pytest.raises(ConfigError, match=r"has no model\.py"):
        Reference(tmp_path / "nowhere", setup)


def test_both_ways_to_generate_see_the_same_context_at_each_token(setup: Setup) -> None:
    """A block of 16 that is full starts anew with 8: 1, 2, … 16, 8, 9, … 16, 8, …"""
    model = setup.model.eval()
    seen: list[int] = []

    def look(_: object, args: tuple[torch.Tensor], kwargs: dict[str, KVCache]) -> None:
        past = kwargs["cache"].length if "cache" in kwargs else 0
        seen.append(past + args[0].shape[1])

    with model.register_forward_pre_hook(look, with_kwargs=True):
        assert len(generate(model, [0], 40, seed=0, keep=8)) == 40
        remembered = seen.copy()
        seen.clear()
        assert recompute(model, 40, keep=8).shape == (1, 41)

    assert model.block_size == 16
    assert seen == remembered == [*range(1, 17), *range(8, 17), *range(8, 17), *range(8, 14)]


def test_every_row_is_printed(here: Path, checkout: Path) -> None:
    """But the sweep: its two commands are started in the slow test below."""
    (here / "tinyshakespeare.txt").write_text("To be, or not to be. " * 400, encoding="utf-8")
    only = [part for row in ROWS if row != "sweep" for part in ("--only", row)]
    options = ["--quick", "--device", "cpu", "--threads", "1", "--against", str(checkout)]
    result = CliRunner().invoke(main, [*options, *only], env={CORPORA_VARIABLE: str(here)})

    assert result.exit_code == 0, result.output
    for row in (
        "training tokens/s, shape tiny",
        "nanogpt preset, shape tiny",
        "share of the matmul ceiling, shape tiny",
        "seconds to 1.88 nats a character",
        "overhead of a run of 0.2 seconds",
        "generation, 20 tokens at T 16",
        "seconds to help",
    ):
        assert row in result.output


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
def test_the_sweep_runs_both_ways(here: Path) -> None:  # noqa: ARG001
    result = CliRunner().invoke(main, ["--quick", "--only", "sweep"])

    assert result.exit_code == 0, result.output
    assert "wall clock of a 24-run sweep" in result.output


def test_the_machines_own_noise_stands_beside_a_ratio() -> None:
    """One way took 1.0 and 1.1 s within a round, the other 2.0 and 1.9 at worst: 10%."""
    steady, other = np.array([[1.0, 1.1], [1.0, 1.0]]), np.array([[2.0, 1.9], [2.0, 2.0]])
    assert a_a(steady, other) == pytest.approx(0.1)
    row = Row(name="x", ours="a", baseline="b", ratios=[1.9], noise=a_a(steady, other))
    console = Console(width=99)
    with console.capture() as captured:
        console.print(as_table([row]))
    assert "≤ 10%" in captured.get()  # at worst: ± is for standard deviations


def numbers(n: int) -> Iterator[int]:
    if n < 0:
        raise ConfigError(f"n must not be negative but got {n}")
    yield from (os.getpid(), n)


def test_a_lane_works_in_a_process_of_its_own() -> None:
    with Lane(partial(numbers, 3)) as a, Lane(partial(numbers, 4), as_worker=True) as b:
        assert len({os.getpid(), a(), b()}) == 3
        assert (a(), b()) == (3, 4)


def at_work() -> Iterator[int]:
    yield os.getpid()
    time.sleep(600)


def test_a_lane_that_is_at_work_ends_with_who_asks_for_it() -> None:
    seen = []

    def ask_and_be_stopped() -> None:
        with raised(), Lane(at_work) as lane:
            seen.append(psutil.Process(lane()))
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()
            lane()

    with pytest.raises(Stopped):
        ask_and_be_stopped()
    assert gone(seen)


def test_a_lane_that_died_is_no_answer() -> None:
    with Lane(at_work) as lane:
        psutil.Process(lane()).kill()
        with pytest.raises(MachineError, match="must live but ended with -9"):
            lane()


def test_what_goes_wrong_in_a_lane_is_raised_here() -> None:
    with (
        Lane(partial(numbers, -1)) as lane,
        pytest.raises(ConfigError, match="must not be negative"),
    ):
        lane()
    with Lane(numbers) as lane, pytest.raises(TypeError):  # type: ignore[arg-type]
        lane()
