"""Seconds of training to 1.88 nats a character on tinyshakespeare: modern against nanoGPT.

nanoGPT's recipe takes minutes, so it is trained in parts, with a complete run of ours after each
part: a slow phase of the machine then affects both. Evaluations don't count.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.run.train_seconds import train_seconds
from bench.speed.isolated import IsolatedIterator, points
from bench.speed.rows import Row
from gpt.config import Budget, Device, RunConfig
from gpt.errors import GptBenchError
from gpt.presets import MODERN, NANOGPT
from gpt.training.loop import Point

TARGET_NATS = 1.88

STEPS_TO_EVALUATION = 10
"""Steps between evaluations of our run, to which its time is rounded up."""

NAME = "seconds to 1.88 nats a character"
TARGET_RATIO = 10.0


def target_row(*, device: Device, parts: int, steps: int | None, corpora_dir: Path | None) -> Row:
    """Time both recipes.

    Args:
        parts: number of parts of nanoGPT's run, and of our runs, each with its own seed.
        steps: budget of both recipes instead of their own; then there is no target loss.
    """
    nanogpt, modern = (_with_budget(recipe, device, steps) for recipe in (NANOGPT, MODERN))
    if steps is None:
        n_steps = modern.train.budget.steps or 0
        modern = modern.replace(
            train=replace(
                modern.train,
                target_loss=TARGET_NATS,
                evaluations=max(1, n_steps // STEPS_TO_EVALUATION),
            )
        )
    seconds, losses = [], []
    try:
        with IsolatedIterator(partial(points, nanogpt, corpora_dir=corpora_dir)) as slow:
            last = slow()
            for part in range(1, parts + 1):
                last = _advance(slow, last, part / parts)
                run = partial(last_point, modern.with_seed(part - 1), corpora_dir)
                with IsolatedIterator(run) as fast:
                    ours = fast()
                seconds.append(train_seconds(ours))
                losses.append(_loss(ours))
    except GptBenchError as error:
        return Row(name=NAME, target=TARGET_RATIO, note=str(error))
    met = "" if steps is not None or max(losses) <= TARGET_NATS else ", target missed"
    return Row(
        name=NAME,
        ours=f"modern, {max(losses):.3f} at worst{met}",
        baseline=f"nanogpt, {last.step:,} steps, {_loss(last):.3f}",
        ratios=[train_seconds(last) / s for s in seconds],
        target=TARGET_RATIO,
    )


def _with_budget(recipe: RunConfig, device: Device, steps: int | None) -> RunConfig:
    """The recipe on this device, with its own steps or these."""
    budget = recipe.train.budget if steps is None else Budget(steps=steps)
    return recipe.replace(train=replace(recipe.train, device=device, budget=budget, evaluations=1))


def last_point(config: RunConfig, corpora_dir: Path | None) -> Iterator[Point]:
    """The last point of a run's training."""
    *_, last = points(config, corpora_dir=corpora_dir)
    yield last


def _advance(slow: Callable[[], Point], last: Point, progress: float) -> Point:
    """Train until this share of the budget is spent."""
    while last.progress < progress:
        last = slow()
    return last


def _loss(point: Point) -> float:
    if point.evaluation is None:
        raise AssertionError("a run ends with an evaluation")
    return point.evaluation.loss
