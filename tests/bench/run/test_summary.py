"""The final numbers of a run, from points made by hand: each from the right one of them."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench.run.facts import summarize
from gpt.config import CorpusConfig, ModelConfig, RunConfig, TrainConfig
from gpt.training.clock import BUCKETS
from gpt.training.evaluate import Evaluation
from gpt.training.flops import flops_per_step
from gpt.training.loop import Point
from gpt.training.setup import Setup, set_up

TOKENS_PER_STEP = 64


@pytest.fixture
def make_setup(tmp_path: Path) -> Callable[..., Setup]:
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be\n" * 100, "utf-8")

    def make(**overrides: object) -> Setup:
        config = RunConfig(
            corpus=CorpusConfig(name=str(text)),
            model=ModelConfig(n_layer=1, n_head=1, n_embd=16, block_size=8),
            train=TrainConfig(device="cpu", batch_size=8),
        )
        values = {name: str(value) for name, value in overrides.items()}
        return set_up(config.override(values), cache=tmp_path)

    return make


def evaluation(loss: float) -> Evaluation:
    """Of a text with two bytes a token."""
    return Evaluation(nats=100 * loss, n_tokens=100, n_bytes=200)


def points(stretches: Sequence[tuple[int, float]], losses: Sequence[float | None]) -> list[Point]:
    """One for each stretch of so many steps at so many seconds each; the first is the warm-up."""
    step, seconds, made = 0, dict.fromkeys(BUCKETS, 0.0), []
    for (n_steps, step_seconds), loss in zip(stretches, losses, strict=True):
        seconds["step" if step else "warm_up"] += n_steps * step_seconds
        seconds |= {"data": 0.5 + step, "evaluation": 10.0 + step, "compile": 3.0}
        step += n_steps
        made.append(
            Point(
                step=step,
                progress=step / 31,
                n_tokens=step * TOKENS_PER_STEP,
                n_bytes=2.0 * step * TOKENS_PER_STEP,
                train_loss=5.0 - step / 10,
                learning_rate=1e-3,
                grad_norm=1.0,
                step_milliseconds=1000 * step_seconds,
                tokens_per_second=TOKENS_PER_STEP / step_seconds,
                evaluation=None if loss is None else evaluation(loss),
                estimate=None,
                seconds=dict(seconds),
                peak_memory_bytes=1000 + step,
            )
        )
    return made


RUN = points(
    [(1, 64.0), (10, 1.0), (10, 4.0), (10, 2.0)],
    [None, 2.5, 1.5, 2.0],
)
"""A slow first step, then stretches of which neither the last nor the fastest is the median one;
the loss was best in the middle."""


def test_the_speed_is_the_median_of_the_stretches_after_the_warm_up(
    make_setup: Callable[..., Setup],
) -> None:
    """Of 1, 4 and 2 seconds a step; with the warm-up's 64 it would be 3, the fastest is 1, the
    mean 2.33."""
    summary = summarize(make_setup(), RUN)

    assert summary["step_milliseconds"] == 2000.0
    assert summary["tokens_per_second"] == TOKENS_PER_STEP / 2.0


def test_a_run_of_one_step_has_the_speed_of_that(make_setup: Callable[..., Setup]) -> None:
    summary = summarize(make_setup(), points([(1, 8.0)], [3.0]))

    assert summary["step_milliseconds"] == 8000.0
    assert summary["tokens_per_second"] == TOKENS_PER_STEP / 8.0


def test_the_loss_is_that_of_the_last_evaluation_not_of_the_best(
    make_setup: Callable[..., Setup],
) -> None:
    summary = summarize(make_setup(), RUN)

    assert summary["val_loss"] == 2.0
    assert summary["val_bits_per_byte"] == pytest.approx(2.0 / math.log(2) / 2)
    assert summary["train_loss"] == 5.0 - 3.1


def test_what_was_spent_is_what_was_spent_up_to_the_last_point(
    make_setup: Callable[..., Setup],
) -> None:
    setup = make_setup(optimizer="muon")
    summary = summarize(setup, RUN)

    assert (summary["n_steps"], summary["n_tokens"]) == (31, 31 * TOKENS_PER_STEP)
    assert summary["n_bytes"] == 2.0 * 31 * TOKENS_PER_STEP
    assert summary["n_flops"] == 31 * flops_per_step(setup.model, setup.config)
    assert summary["n_params"] == setup.model.n_params
    assert summary["peak_memory_bytes"] == 1031
    assert {name: summary[f"{name}_seconds"] for name in BUCKETS} == {
        "compile": 3.0, "warm_up": 64.0, "data": 21.5, "step": 70.0, "evaluation": 31.0,
        "logging": 0.0,
    }  # fmt: skip
    assert summary["train_seconds"] == 3.0 + 64.0 + 21.5 + 70.0  # evaluation isn't training


@pytest.mark.parametrize(("target", "seconds"), [(2.0, 158.5), (1.9, math.inf)])
def test_the_target_is_reached_at_the_last_evaluation_or_not(
    target: float, seconds: float, make_setup: Callable[..., Setup]
) -> None:
    """That one in the middle was below it would have ended the run there."""
    assert summarize(make_setup(target_loss=target), RUN)["seconds_to_target"] == seconds
    assert "seconds_to_target" not in summarize(make_setup(), RUN)
