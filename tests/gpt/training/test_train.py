"""Training: repeatable, its updates and rates by the rules, and honest when it goes wrong."""

import copy
import gc
import math
import weakref
from collections.abc import Callable, Iterator

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

import gpt.training.loop
from gpt.errors import DivergedError
from gpt.training.loop import Point, train
from gpt.training.setup import Setup

Run = Callable[..., list[Point]]


def what_was_computed(points: list[Point]) -> list[object]:
    """All of the points but times and memory."""
    return [
        (p.step, p.train_loss, p.learning_rate, p.grad_norm, p.evaluation, p.val_part, p.estimate)
        for p in points
    ]


@pytest.fixture
def optimizer_steps() -> Iterator[list[torch.optim.Optimizer]]:
    """(learning rate, norm of the whole gradient) of every optimizer step, as it is taken."""
    seen = []

    def look(optimizer: torch.optim.Optimizer, *_: object) -> None:
        groups = optimizer.param_groups
        gradients = [p.grad.flatten() for group in groups for p in group["params"]]
        seen.append((groups[0]["lr"], torch.cat(gradients).norm().item()))

    handle = register_optimizer_step_pre_hook(look)
    yield seen
    handle.remove()


def test_the_same_config_gives_the_same_points_to_the_bit(run: Run) -> None:
    values = {"dropout": 0.3, "estimate_batches": 2, "log_interval": 3}
    one, same, other = (what_was_computed(run(**values, seed=seed)) for seed in (0, 0, 1))

    assert one == same
    assert all(a != b for a, b in zip(one, other, strict=True))


def test_what_the_caller_does_between_points_changes_nothing(settle: Callable[..., Setup]) -> None:
    """It draws, seeds, and trains another model in turn."""
    alone = list(train(settle(dropout=0.3, log_interval=2)))

    disturbed = []
    other = train(settle(dropout=0.3, log_interval=2, seed=5))
    for point in train(settle(dropout=0.3, log_interval=2)):
        disturbed.append(point)
        torch.manual_seed(99)
        torch.rand(7)
        next(other)

    assert what_was_computed(disturbed) == what_was_computed(alone)


def test_training_leaves_the_callers_randomness_alone(settle: Callable[..., Setup]) -> None:
    points = train(settle(dropout=0.3))
    before = torch.get_rng_state()

    next(points)

    assert torch.equal(torch.get_rng_state(), before)


def test_a_finished_run_is_let_go_at_once(settle: Callable[..., Setup]) -> None:
    """Not at the next search for cycles: what it leaves would count for the next run's memory."""
    setup = settle(dtype="bfloat16", optimizer="muon")
    models = [weakref.ref(setup.model), weakref.ref(setup.precision.model)]
    gc.collect()
    gc.disable()
    try:
        list(train(setup))
        del setup
        assert [model() for model in models] == [None, None]
    finally:
        gc.enable()


def test_looking_more_often_trains_the_same_model(settle: Callable[..., Setup]) -> None:
    seldom, often = (
        settle(evaluations=1, log_interval=20),
        settle(evaluations=7, log_interval=1, estimate_batches=1),
    )
    for setup in (seldom, often):
        list(train(setup))

    for one, other in zip(seldom.model.parameters(), often.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_loss_curve_is_what_it_was(run: Run) -> None:
    """A guard for refactors: the numbers are of this code, not of an oracle."""
    points = run(log_interval=5, learning_rate=0.01, evaluations=4)

    assert [p.step for p in points] == [1, 5, 10, 15, 20]
    losses = [5.6646, 5.4590, 4.6925, 4.0297, 3.8085]
    assert [p.train_loss for p in points] == pytest.approx(losses, abs=1e-3)
    assert points[-1].evaluation.bits_per_byte == pytest.approx(4.8631, abs=1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_learns(optimizer: str, dtype: str, run: Run) -> None:
    points = run(steps=60, learning_rate=0.01, optimizer=optimizer, dtype=dtype)
    evaluations = [p.val_part.bits_per_byte for p in points if p.val_part]

    assert points[-1].train_loss < 0.7 * points[0].train_loss
    assert evaluations == sorted(evaluations, reverse=True)


def test_estimates_come_where_asked_and_are_near_the_loss(run: Run) -> None:
    last = run(estimate_batches=20)[-1]
    train_estimate, val_estimate = last.estimate

    assert val_estimate == pytest.approx(last.evaluation.loss, rel=0.05)
    assert train_estimate == pytest.approx(last.train_loss, rel=0.05)
    assert run(estimate_batches=0)[-1].estimate is None


def test_estimates_are_of_the_training_part_and_of_the_validation_part(
    settle: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = settle(estimate_batches=1, steps=1)
    monkeypatch.setattr(gpt.training.loop, "estimate_loss", lambda _, tokens, **__: len(tokens))
    (point,) = train(setup)

    text = setup.text.encoded
    assert point.estimate == (len(text.train), len(text.val))
    assert len(text.train) > len(text.val)


@pytest.mark.parametrize("grad_clip", [0.0, 0.05, 1e6])
def test_gradients_are_clipped(
    grad_clip: float, run: Run, optimizer_steps: list[tuple[float, float]]
) -> None:
    points = run(grad_clip=grad_clip, log_interval=1)
    before = [p.grad_norm for p in points]
    after = [norm for _, norm in optimizer_steps]

    assert min(before) > 0.05
    assert after == pytest.approx([min(n, grad_clip or n) for n in before], rel=1e-4)


def test_the_rate_follows_nanogpts_rule(
    run: Run, optimizer_steps: list[tuple[float, float]]
) -> None:
    """Warm-up over 100 steps, then a cosine over 100 more, which ends a step before its floor."""
    points = run(steps=200, warmup_fraction=0.5, learning_rate=1e-3, model="bigram")

    def rule(it: int) -> float:
        if it < 100:
            return 1e-3 * (it + 1) / 101
        return 1e-4 + 0.5 * (1 + math.cos(math.pi * (it - 100) / 100)) * 9e-4

    assert [rate for rate, _ in optimizer_steps] == pytest.approx([rule(it) for it in range(200)])
    assert points[0].learning_rate == pytest.approx(1e-3 / 101)
    assert [p.learning_rate for p in points] == pytest.approx([rule(p.step - 1) for p in points])


# When it goes wrong


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("step", [1, 2, 5, 20])
def test_a_loss_that_is_not_finite_ends_the_run_at_its_step(
    step: int, bad: float, settle: Callable[..., Setup]
) -> None:
    setup = settle(evaluations=1)
    losses = []

    def spoil(_: object, __: object, loss: torch.Tensor) -> torch.Tensor:
        losses.append(loss)
        return loss * bad if len(losses) == step else loss

    setup.model.register_forward_hook(spoil)
    with pytest.raises(DivergedError, match=f"{bad} at step {step}$") as error:
        list(train(setup))

    assert error.value.step == step


def test_a_last_step_that_ruins_the_model_is_found(run: Run) -> None:
    """Its own loss was taken before."""
    with pytest.raises(DivergedError) as error:
        run(steps=1, learning_rate=1e30, warmup_fraction=0)

    assert error.value.step == 1


def test_a_mad_learning_rate_diverges(run: Run) -> None:
    with pytest.raises(DivergedError) as error:
        run(learning_rate=1e30, warmup_fraction=0, evaluations=1)

    assert error.value.step == 2


def test_the_error_survives_its_way_from_a_worker() -> None:
    there = DivergedError(7, math.inf)
    here = copy.copy(there)  # by the way that crosses processes

    assert (here.step, here.loss, str(here)) == (7, math.inf, str(there))
