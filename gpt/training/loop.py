"""Training, as a plain generator of points: the caller pulls, and decides what to do with them.

    setup = set_up(config)
    for point in train(setup):
        print(point.step, point.train_loss)

Steps run in stretches from one point to the next. Batches of a stretch are gathered at once, and
the losses come back from the device once, so nothing inside a stretch waits for Python. The first
step makes a stretch of its own: it trains like the others, but its time is warm-up.

Tracking, pruning and checkpoints are left to the caller; their time counts as logging.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gpt.acceleration.step import Step
from gpt.config import RunConfig
from gpt.device import peak_memory_bytes, reset_peak_memory, synchronize
from gpt.errors import ConfigError, DivergedError
from gpt.rng import PrivateRandomState
from gpt.training.batches import moved_if_small, sample_batches
from gpt.training.clock import BUDGETED, Clock
from gpt.training.evaluate import (
    Evaluation,
    estimate_loss,
    evaluate_part,
    evaluate_split,
    part_of_val,
)
from gpt.training.flops import flops_per_step
from gpt.training.schedule import learning_rate_at
from gpt.training.setup import Setup


@dataclass(frozen=True, kw_only=True)
class Point:
    """What is known after a stretch of steps."""

    step: int
    """Optimizer steps so far."""

    progress: float
    """Share of the budget spent, in [0, 1]."""

    n_tokens: int
    """Training tokens so far."""

    n_bytes: float
    """Bytes of training text so far, by the average of the training part."""

    train_loss: float
    """Mean loss in nats per token over the stretch."""

    learning_rate: float
    """Of the last step."""

    grad_norm: float
    """Norm of the whole gradient before clipping, of the last step."""

    step_milliseconds: float
    """Mean time of a step of this stretch; evaluation, data and logging don't count."""

    tokens_per_second: float
    """Training tokens of the stretch over the time of its steps alone."""

    evaluation: Evaluation | None
    """Over the whole validation split, where that was due."""

    estimate: tuple[float, float] | None
    """The originals' noisy loss on training and validation batches, where one was due."""

    seconds: dict[str, float]
    """Total time by bucket of `gpt.training.clock.BUCKETS`, up to this point."""

    peak_memory_bytes: int
    """Most memory in use so far."""

    val_part: Evaluation | None = None
    """Over a part of it (`TrainConfig.val_part_bytes`), for curves and pruners alone."""

    @property
    def watched(self) -> Evaluation | None:
        """What the curve shows: the part, or the whole split in a run that reads no part."""
        return self.val_part or self.evaluation


def planned_steps(setup: Setup) -> int | None:
    """The steps that spend the budget, at least one; None for a budget in seconds. Raises
    `ConfigError` if no number of steps would spend it."""
    budget, encoded = setup.config.train.budget, setup.text.encoded
    if budget.unit == "seconds":
        return None
    tokens = _tokens_per_step(setup.config)
    per_step = {
        "steps": 1,
        "tokens": tokens,
        "bytes": tokens * encoded.bytes_per_token,
        "flops": flops_per_step(setup.model, setup.config),
    }[budget.unit]
    if per_step == 0:
        raise ConfigError(
            f"a budget in {budget.unit} needs a model that spends some but a "
            f"{setup.config.model.kind} model spends none: give it in steps, tokens or bytes"
        )
    return max(1, round(budget.amount / per_step))


def _tokens_per_step(config: RunConfig) -> int:
    return config.train.batch_size * config.model.block_size


def train(setup: Setup) -> Iterator[Point]:
    """Train `setup.model` in place and yield a point every `log_interval` steps.

    Evaluations are spread evenly over the budget, the last one on the last point; one that finds
    the target loss reached ends the run. On the CPU, with one number of threads, the same config
    gives the same points to the bit, times aside.

    Raises:
        DivergedError: at the first loss, of a step or an evaluation, that is not finite.
        InfeasibleError: what was to be compiled or captured can't be.
        UnsoundError: the compiled gradients are wrong.
    """
    run = _Run(setup)
    while run.step == 0 or (run.progress < 1.0 and not run.reached_target):
        point = run.advance()
        with run.clock.measure("logging"):
            yield point


def has_reached(target_loss: float | None, evaluation: Evaluation | None) -> bool:
    """Whether there is a target, and an evaluation that found it reached."""
    return target_loss is not None and evaluation is not None and evaluation.loss <= target_loss


class _Run:
    """The state of one run between two points."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.config = setup.config
        self.clock = Clock(lambda: synchronize(setup.device))
        self.n_steps = planned_steps(setup)
        self.step = 0
        self.n_timed_steps = 0  # those whose time is on the clock: of the stretches that are over
        self.step_seconds = 0.0  # the mean of the last stretch
        self.reached_target = False
        self.evaluations_done = 0
        seed = self.config.train.seed
        self.batches = torch.Generator().manual_seed(seed)
        self.estimates = torch.Generator().manual_seed(seed)
        self.random = PrivateRandomState(setup.device, seed)
        with self.clock.measure("warm_up"):
            reset_peak_memory(setup.device)
            self.take_step = Step(setup)
        with self.clock.measure("data"):
            self.tokens = moved_if_small(setup.text.encoded.train, setup.device)
            n_bytes = self.config.train.canonical().val_part_bytes
            self.part = None if n_bytes is None else part_of_val(setup.text, n_bytes)
        with self.clock.measure("compile"):
            self._rehearse()

    @property
    def progress(self) -> float:
        """Share of the budget spent. Within a stretch nothing waits for the device: its steps are
        taken to be as long as those of the stretch before."""
        if self.n_steps is not None:
            return self.step / self.n_steps
        budget = self.config.train.budget.amount
        measured = sum(self.clock.seconds[bucket] for bucket in BUDGETED)
        supposed = (self.step - self.n_timed_steps) * self.step_seconds
        return min(1.0, (measured + supposed) / budget)

    @property
    def evaluations_due(self) -> int:
        """Evaluations whose share of the budget is spent."""
        evaluations = self.config.train.evaluations
        if self.n_steps is not None:
            return self.step * evaluations // self.n_steps
        return int(self.progress * evaluations)

    def advance(self) -> Point:
        """Train up to the next point, and evaluate if that is due."""
        n_steps = self._stretch()
        bucket = "step" if self.step else "warm_up"
        before = self.clock.seconds[bucket]
        with self.clock.measure("data"):
            x, y = self._batches(n_steps, self.batches)  # (n, B, T)
        with self.clock.measure(bucket), self.random:
            losses = self._steps(x, y)
        self.n_timed_steps = self.step
        self.step_seconds = (self.clock.seconds[bucket] - before) / n_steps
        evaluation = val_part = estimate = None
        if self.evaluations_due > self.evaluations_done:
            self.evaluations_done = self.evaluations_due
            with self.clock.measure("evaluation"):
                evaluation, val_part = self._evaluate()
                estimate = self._estimate()
            self.reached_target = has_reached(self.config.train.target_loss, evaluation)
        with self.clock.measure("logging"):
            grad_norm = float(self.grad_norm)
            peak_memory = peak_memory_bytes(self.setup.device)
        n_tokens = self.step * _tokens_per_step(self.config)
        return Point(
            step=self.step,
            progress=self.progress,
            n_tokens=n_tokens,
            n_bytes=n_tokens * self.setup.text.encoded.bytes_per_token,
            train_loss=sum(losses) / n_steps,
            learning_rate=self.learning_rate,
            grad_norm=grad_norm,
            step_milliseconds=1000 * self.step_seconds,
            tokens_per_second=_tokens_per_step(self.config) / self.step_seconds,
            evaluation=evaluation,
            val_part=val_part,
            estimate=estimate,
            seconds=dict(self.clock.seconds),
            peak_memory_bytes=peak_memory,
        )

    def _stretch(self) -> int:
        """Steps to the next point: a multiple of the interval, an evaluation or the end."""
        if self.step == 0 or (self.n_steps is None and self.step == 1):
            return 1  # after the warm-up, a single step says how long the others will take
        interval, evaluations = self.config.train.log_interval, self.config.train.evaluations
        due = self.evaluations_done + 1
        if self.n_steps is not None:
            to_evaluation = -(-due * self.n_steps // evaluations) - self.step  # rounded up
        else:  # as many as the last stretch says will fit
            left = due / evaluations - self.progress
            to_evaluation = int(left * self.config.train.budget.amount / self.step_seconds)
        return max(1, min(interval - self.step % interval, to_evaluation))

    def _rehearse(self) -> None:
        """Compile, where that is asked, on what the first step will see."""
        if not self.config.train.compile:
            return
        x, y = self._batches(1, torch.Generator().manual_seed(self.config.train.seed))
        self.take_step.rehearse(x[0], y[0])

    def _batches(self, n_steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = sample_batches(
            self.tokens,
            self.config.model.block_size,
            self.config.train.batch_size,
            n_steps,
            generator,
        )
        return x.to(self.setup.device), y.to(self.setup.device)

    def _steps(self, xs: Tensor, ys: Tensor) -> list[float]:
        """One optimizer step for each batch; returns their losses, in nats per token."""
        losses = []
        for x, y in zip(xs, ys, strict=True):
            self.learning_rate = learning_rate_at(self.config.optimizer, self.progress)
            loss, self.grad_norm = self.take_step(x, y, self.learning_rate)
            losses.append(loss)
            self.step += 1
        values: list[float] = torch.stack(losses).tolist()
        for i, value in enumerate(values):
            if not math.isfinite(value):
                raise DivergedError(self.step - len(values) + i + 1, value)
        return values

    def _evaluate(self) -> tuple[Evaluation | None, Evaluation | None]:
        """Of the whole validation split, where that is due, and of the part, if there is one."""
        whole = part = None
        if self.part is None or self.evaluations_done == self.config.train.evaluations:
            whole = evaluate_split(self.setup, "val")
        if self.part is not None:
            part = evaluate_part(self.setup, self.part)
        for evaluation in (whole, part):
            if evaluation is not None and not math.isfinite(evaluation.nats):
                raise DivergedError(self.step, evaluation.loss)
        return whole, part

    def _estimate(self) -> tuple[float, float] | None:
        """The originals' estimates, in a run that makes them."""
        text, config = self.setup.text.encoded, self.config.train
        if not config.estimate_batches:
            return None
        train_estimate, val_estimate = (
            estimate_loss(
                self.setup.precision.model,
                tokens,
                n_batches=config.estimate_batches,
                batch_size=config.batch_size,
                generator=self.estimates,
                device=self.setup.device,
                autocast=self.setup.precision.context,
            )
            for tokens in (text.train, text.val)
        )
        return train_estimate, val_estimate
