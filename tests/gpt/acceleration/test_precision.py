"""A copy in bfloat16 computes; float32 weights remember."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from same_training import assert_within_noise_of_seeds

from gpt.acceleration.precision import Precision
from gpt.config import ModelConfig, RunConfig
from gpt.device import product_dtype
from gpt.model.gpt import GPT
from gpt.training.loop import Point, train
from gpt.training.setup import Setup, set_up

CPU = torch.device("cpu")


@pytest.fixture
def run(tiny: RunConfig, cache: Path) -> Callable[..., tuple[Setup, list[Point]]]:
    def run(**values: object) -> tuple[Setup, list[Point]]:
        setup = set_up(tiny.override({k: str(v) for k, v in values.items()}), cache=cache)
        return setup, list(train(setup))

    return run


@pytest.fixture
def gpt() -> GPT:
    torch.manual_seed(0)
    return GPT(ModelConfig(block_size=8, n_layer=1, n_head=2, n_embd=8, tied_head=True), 20)


def test_a_change_too_small_for_bfloat16_is_kept(gpt: GPT) -> None:
    """A thousand steps of a 2000th each: in bfloat16 alone none would move the weight."""
    precision = Precision(gpt, "bfloat16", CPU)
    with torch.no_grad():
        gpt.head.weight.fill_(1.0)
        for _ in range(1000):
            gpt.head.weight += 1 / 2000
            precision.refresh()

    assert torch.allclose(precision.model.head.weight.float(), torch.tensor(1.5), rtol=1e-3)


def test_gradients_of_several_passes_are_summed_in_float32(gpt: GPT) -> None:
    precision = Precision(gpt, "bfloat16", CPU)
    copied = precision.model.head.weight
    for value in (1.0, 1 / 1024):
        copied.grad = torch.full_like(copied, value)
        precision.collect_gradients()

    assert gpt.head.weight.grad.dtype == torch.float32
    assert torch.equal(gpt.head.weight.grad, torch.full_like(gpt.head.weight, 1 + 1 / 1024))
    assert copied.grad is None


def test_tied_weights_stay_tied_in_the_copy(gpt: GPT) -> None:
    copied = Precision(gpt, "bfloat16", CPU).model
    assert copied.head.weight is copied.token_embedding.weight


def test_float32_computes_with_the_weights_themselves(gpt: GPT) -> None:
    assert Precision(gpt, "float32", CPU).model is gpt


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_loss_in_bfloat16_agrees_within_the_noise_of_seeds(
    optimizer: str, run: Callable[..., tuple[Setup, list[Point]]]
) -> None:
    def final(dtype: str, seed: int) -> float:
        _, points = run(
            dtype=dtype,
            seed=seed,
            steps=80,
            learning_rate=0.01,
            optimizer=optimizer,
            evaluations=1,
        )
        return points[-1].evaluation.loss

    assert_within_noise_of_seeds(final, "float32", "bfloat16")


@pytest.mark.parametrize(
    "settings",
    [
        {"loss_head": "plain"},
        {"loss_head": "chunked"},
        {"loss_head": "chunked", "optimizer": "muon", "fused": True, "micro_batch_size": 24},
    ],
    ids=["plain", "chunked", "muon"],
)
def test_float16_trains_from_its_first_step_on_as_float32_does(
    settings: dict[str, object], run: Callable[..., tuple[Setup, list[Point]]]
) -> None:
    """A first gradient that is not finite would be skipped, and every later one lag behind."""
    settings = {**settings, "steps": 20, "log_interval": 1, "batch_size": 64}
    exact, found = (run(dtype=dtype, **settings)[1] for dtype in ("float32", "float16"))

    assert all(math.isfinite(point.grad_norm) for point in found)
    for one, other in zip(exact, found, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, rel=2e-3)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=2e-2)


def test_weights_and_optimizer_stay_in_float32(
    run: Callable[..., tuple[Setup, list[Point]]],
) -> None:
    setup, _ = run(dtype="bfloat16", steps=2)

    assert {p.dtype for p in setup.model.parameters()} == {torch.float32}
    for weight, copied in zip(
        setup.model.parameters(), setup.precision.model.parameters(), strict=True
    ):
        assert torch.equal(weight.bfloat16(), copied)


def test_auto_is_settled_by_the_machine(run: Callable[..., tuple[Setup, list[Point]]]) -> None:
    setup, _ = run(dtype="auto", steps=1)
    assert getattr(torch, setup.config.train.dtype) is product_dtype(CPU)


@pytest.mark.parametrize("micro_batch_size", [1, 3, 4, 99])
def test_a_few_sequences_at_a_time_train_the_same(
    micro_batch_size: int, run: Callable[..., tuple[Setup, list[Point]]]
) -> None:
    whole, parts = (run(micro_batch_size=n, steps=10)[1] for n in (None, micro_batch_size))

    for one, other in zip(whole, parts, strict=True):
        assert math.isclose(one.train_loss, other.train_loss, rel_tol=1e-4)
        assert math.isclose(one.grad_norm, other.grad_norm, rel_tol=1e-3)
