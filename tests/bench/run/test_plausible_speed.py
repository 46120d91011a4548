"""Rule 7: a throughput above the measured ceiling is an error."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from bench.run import plausible_speed
from bench.timing import ceilings
from gpt.config import CorpusConfig, ModelConfig, OptimizerConfig, RunConfig, TrainConfig
from gpt.errors import UnsoundError
from gpt.training.flops import flops_per_step
from gpt.training.setup import Setup, set_up

EMULATING = {torch.float32: 35e9, torch.bfloat16: 5e9}
"""A CPU without bfloat16: its products in it are slow, and nobody need use them."""

WITH_TILES = {torch.float32: 300e9, torch.bfloat16: 2000e9}
"""A CPU with AMX."""


@pytest.fixture(autouse=True)
def unmeasured() -> Iterator[None]:
    """No ceiling is known yet, and none of a fake machine is left."""
    plausible_speed._ceiling.cache_clear()
    yield
    plausible_speed._ceiling.cache_clear()


@pytest.fixture
def make_setup(tmp_path: Path) -> Callable[..., Setup]:
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be\n" * 100, "utf-8")

    def make(**overrides: str) -> Setup:
        config = RunConfig(
            corpus=CorpusConfig(name=str(text)),
            model=ModelConfig(n_layer=1, n_head=1, n_embd=16, block_size=8),
            train=TrainConfig(device="cpu"),
            optimizer=OptimizerConfig(),
        )
        return set_up(config.override(overrides), cache=tmp_path)

    return make


def tokens_per_second(setup: Setup, flops_per_second: float) -> float:
    """The speed at which a run computes as much as this."""
    tokens_per_step = setup.config.train.batch_size * 8
    return flops_per_second / flops_per_step(setup.model, setup.config) * tokens_per_step


def refuses(setup: Setup, flops_per_second: float) -> bool:
    try:
        plausible_speed.refuse_impossible_speed(setup, tokens_per_second(setup, flops_per_second))
    except UnsoundError as error:
        assert "can't be faster than this machine's best matrix product" in str(error)  # noqa: PT017
        return True
    return False


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_rule_07_a_speed_above_the_ceiling_is_refused(
    optimizer: str, make_setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plausible_speed, "measure_matmul", lambda *_: 1e9)
    setup = make_setup(optimizer=optimizer)

    assert not refuses(setup, 1.14e9)
    assert refuses(setup, 1.16e9)


@pytest.mark.parametrize(
    ("machine", "dtype", "optimizer", "ceiling"),
    [
        (EMULATING, "float32", "adamw", 35e9),
        (EMULATING, "float32", "muon", 35e9),
        (EMULATING, "bfloat16", "adamw", 35e9),
        (WITH_TILES, "float32", "adamw", 300e9),
        (WITH_TILES, "float32", "muon", 300e9),
        (WITH_TILES, "bfloat16", "adamw", 2000e9),
    ],
)
def test_rule_07_the_ceiling_is_of_the_precision_of_the_run(
    machine: dict[torch.dtype, float],
    dtype: str,
    optimizer: str,
    ceiling: float,
    make_setup: Callable[..., Setup],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ceilings, "_best_product", lambda _, dtype: machine[dtype])
    setup = make_setup(dtype=dtype, optimizer=optimizer)

    assert not refuses(setup, 0.99 * plausible_speed.MARGIN * ceiling)
    assert refuses(setup, 1.01 * plausible_speed.MARGIN * ceiling)


def test_a_ceiling_measured_on_a_busy_machine_is_measured_again(
    make_setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter([1e9, 5e9])
    monkeypatch.setattr(plausible_speed, "measure_matmul", lambda *_: next(measured))

    assert not refuses(make_setup(), 5e9)
    assert next(measured, None) is None


def test_rule_07_no_real_speed_is_refused(make_setup: Callable[..., Setup]) -> None:
    """As fast as this machine multiplies, by a clock of our own; ten times that can't be."""
    side, calls = 256, 50
    a, b = torch.randn(side, side), torch.randn(side, side)
    torch.matmul(a, b)
    start = time.perf_counter()
    for _ in range(calls):
        torch.matmul(a, b)
    flops_per_second = calls * 2 * side**3 / (time.perf_counter() - start)
    setup = make_setup()
    assert not refuses(setup, flops_per_second)
    ceiling = plausible_speed._ceiling(setup.device, torch.float32)
    assert refuses(setup, 10 * ceiling)
