"""Where does the time of a training step go?

The step is the training loop's own: `gpt.train.train` runs, and reports its milliseconds. Between
its stretches each part of the same model runs alone, forward and backward, at the step's shapes:
the modules of all layers one after another, so that caches see what they see in a step. Steps and
parts take turns, each round in the reverse order of the one before, so that drift cancels; what
counts is the median over the rounds. What the parts don't add up to is shown as left over: Python
and autograd between them, and caches that are warmer or colder than in a step.

The tokens are random, drawn from as many as the preset's tokenizer has. What they say changes no
time, and no text needs to be there. On a GPU a part alone waits for its launches where a step does
not, so there the sum may exceed the step.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from rich.table import Table

from bench.micro.parts import parts_of_step
from gpt.cache import default_cache
from gpt.config import Budget, RunConfig
from gpt.data import EncodedCorpus
from gpt.device import device_name, resolve_device
from gpt.model import build_model
from gpt.setup import Setup, Text, resolve_kernel
from gpt.train import Point, train

TINYSHAKESPEARE_CHARACTERS = 65
"""The vocabulary of a character tokenizer on the presets' text."""

N_TOKENS = 1_000_000
STEPS = 5
"""Training steps in a round, as one stretch of the training loop."""

MIN_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Line:
    """One part of a step, in milliseconds a step."""

    part: str
    forward_milliseconds: float
    backward_milliseconds: float
    within: str | None
    """The part that this one is a part of, and counted in."""

    @property
    def milliseconds(self) -> float:
        """Both ways."""
        return self.forward_milliseconds + self.backward_milliseconds


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A step and its parts."""

    lines: Sequence[Line]
    step_milliseconds: float
    """Median of the training loop's own steps, with the gathering of their data."""

    spread: float
    """Interquartile range of the steps as a share of their median."""

    rounds: int
    where: str
    kernel: str

    @property
    def sum_milliseconds(self) -> float:
        """Of all parts, each counted once."""
        return sum(line.milliseconds for line in self.lines if line.within is None)

    @property
    def left_over(self) -> float:
        """What the parts don't explain, as a share of the step; negative if they take longer."""
        return 1 - self.sum_milliseconds / self.step_milliseconds


def explain_step(config: RunConfig, *, seconds: float) -> Explanation:
    """Time steps and parts in turns for about this long, and for three rounds at least.

    Raises:
        MachineError, InfeasibleError: the device or the kernel is not there.
    """
    setup = _setup_on_random_tokens(config)
    parts = parts_of_step(setup, batches=STEPS)
    steps = _steps(setup)
    step_times: list[float] = []
    part_times: dict[str, list[tuple[float, float]]] = {part.name: [] for part in parts}
    for part in parts:  # warm-up
        part.forward_backward_seconds()
    end = time.perf_counter() + seconds
    while len(step_times) < MIN_ROUNDS or time.perf_counter() < end:
        forwards = len(step_times) % 2 == 0
        if forwards:
            step_times.append(next(steps))
        for part in parts if forwards else reversed(parts):
            part_times[part.name].append(part.forward_backward_seconds())
        if not forwards:
            step_times.append(next(steps))
    lines = [
        Line(
            part=part.name,
            forward_milliseconds=1000 * statistics.median(t for t, _ in part_times[part.name]),
            backward_milliseconds=1000 * statistics.median(t for _, t in part_times[part.name]),
            within=part.within,
        )
        for part in parts
    ]
    quartiles = statistics.quantiles(step_times, n=4)
    median = statistics.median(step_times)
    return Explanation(
        lines=lines,
        step_milliseconds=1000 * median,
        spread=(quartiles[2] - quartiles[0]) / median,
        rounds=len(step_times),
        where=f"{device_name(setup.device)}, {config.train.dtype}"
        + (f", threads: {torch.get_num_threads()}" if setup.device.type == "cpu" else ""),
        kernel=setup.config.model.kernel,
    )


def _setup_on_random_tokens(config: RunConfig) -> Setup:
    """A setup whose text is random, and whose budget never ends."""
    device = resolve_device(config.train.device)
    torch.manual_seed(config.train.seed)
    config = config.replace(
        train=replace(
            config.train,
            budget=Budget(steps=10**9),
            log_interval=STEPS,
            evaluations=1,
            estimate_batches=0,
        ),
    )
    kernel = resolve_kernel(config, device, cache=default_cache())
    config = config.replace(model=replace(config.model, kernel=kernel))
    vocab_size = config.tokenizer.vocab_size or TINYSHAKESPEARE_CHARACTERS
    tokens = np.random.default_rng(0).integers(vocab_size, size=N_TOKENS, dtype=np.uint16)
    encoded = EncodedCorpus(
        train=tokens,
        val=tokens[: config.model.block_size + 1],
        train_bytes=N_TOKENS,
        val_bytes=config.model.block_size + 1,
        round_trip=True,
        degenerate=False,
    )
    # training reads nothing of a text but its tokens
    text = cast(Text, SimpleNamespace(encoded=encoded))
    model = build_model(config.model, vocab_size).to(device)
    return Setup(config=config, text=text, model=model, device=device)


def _steps(setup: Setup) -> Iterator[float]:
    """Seconds a step, with its data, of one stretch of the training loop after another."""
    points = train(setup)
    last = next(points)
    while last.step % STEPS:  # the first step is warm-up, and the stretch after it short
        last = next(points)
    for point in points:
        yield (_spent(point) - _spent(last)) / (point.step - last.step)
        last = point


def _spent(point: Point) -> float:
    return point.seconds["data"] + point.seconds["step"]


def show(explanation: Explanation, preset: str) -> Table:
    """The parts as a table that ends with the step."""
    e = explanation
    table = Table(
        title=f"A training step of {preset} · {e.where}",
        caption=f"medians of {e.rounds} rounds; the step's spread is {e.spread:.0%}",
        title_justify="left",
        caption_justify="left",
        box=None,
    )
    table.add_column("part")
    for heading in ("forward ms", "backward ms", "ms", "of the step"):
        table.add_column(heading, justify="right")
    for line in e.lines:
        style = "dim" if line.within else ""
        table.add_row(
            f"{'  ' if line.within else ''}{line.part}",
            f"{line.forward_milliseconds:.2f}",
            f"{line.backward_milliseconds:.2f}",
            f"{line.milliseconds:.2f}",
            f"{line.milliseconds / e.step_milliseconds:.1%}",
            style=style,
        )
    table.add_section()
    total = e.sum_milliseconds
    table.add_row("sum of the parts", "", "", f"{total:.2f}", f"{1 - e.left_over:.1%}")
    left = e.step_milliseconds - total
    table.add_row("left over", "", "", f"{left:.2f}", f"{e.left_over:.1%}")
    table.add_row(
        "a step of training", "", "", f"{e.step_milliseconds:.2f}", "100.0%", style="bold"
    )
    return table
