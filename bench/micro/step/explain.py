"""Where does the time of a training step go?

The step is the training loop's own: `gpt.training.loop.train` runs, and reports its milliseconds.
Between its stretches each part of the same model runs alone, forward and backward, at the step's
shapes: the modules of all layers one after another, so that caches see what they see in a step.
Steps and parts alternate in rounds, as many of one as of the other, every second round in reverse,
so that drift cancels. The result is the mean over the quieter half of the rounds; it is not a
median, because interruptions hardly change the median of a short part, but always lengthen a long
step. The difference between step and sum is shown as left over: Python and autograd between the
parts, and caches that are warmer or colder than in a step.

The tokens are random, from a vocabulary of the preset's size: their meaning changes no time, and
no text is needed. On a GPU a part that runs alone waits for its kernels to be launched, which a
step does not, so there the sum may exceed the step.
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

from bench.micro.step.parts import Part, parts_of_step
from gpt.cache import default_cache
from gpt.config import Budget, RunConfig
from gpt.device import device_name, resolve_device
from gpt.model.gpt import build_model
from gpt.training.loop import Point, train
from gpt.training.setup import Setup, Text, settle_on

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
    """The part that contains this one, and counts it."""

    @property
    def milliseconds(self) -> float:
        """Forward and backward together."""
        return self.forward_milliseconds + self.backward_milliseconds


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A step and its parts."""

    lines: Sequence[Line]
    step_milliseconds: float
    """The training loop's own time, including gathering the data."""

    spread: float
    """Interquartile range of the steps as a share of their median."""

    rounds: int
    where: str

    @property
    def sum_milliseconds(self) -> float:
        """The time of all parts, each counted once."""
        return sum(line.milliseconds for line in self.lines if line.within is None)

    @property
    def left_over(self) -> float:
        """What the parts don't explain, as a share of the step; negative if they take longer."""
        return 1 - self.sum_milliseconds / self.step_milliseconds


def explain_step(config: RunConfig, *, seconds: float) -> Explanation:
    """Time steps and parts alternately for about this long, and at least three rounds.

    Raises:
        MachineError, InfeasibleError: the device or the kernel is not available here.
    """
    setup = _setup_on_random_tokens(config)
    parts, steps = parts_of_step(setup, batches=STEPS), _steps(setup)
    _times_of(parts, backwards=False)  # warm-up
    rounds: list[_Round] = []
    end = time.perf_counter() + seconds
    while len(rounds) < MIN_ROUNDS or time.perf_counter() < end:
        backwards = len(rounds) % 2 == 1
        if backwards:
            times = _times_of(parts, backwards=True)
        step = next(steps)
        if not backwards:
            times = _times_of(parts, backwards=False)
        rounds.append(_Round(step, times))
    quiet = sorted(rounds, key=lambda round_: round_.seconds)[: (len(rounds) + 1) // 2]
    quartiles = statistics.quantiles((round_.step for round_ in rounds), n=4)
    threads = f", threads: {torch.get_num_threads()}" if setup.device.type == "cpu" else ""
    return Explanation(
        lines=[_line(part, [round_.parts[part.name] for round_ in quiet]) for part in parts],
        step_milliseconds=1000 * statistics.fmean(round_.step for round_ in quiet),
        spread=(quartiles[2] - quartiles[0]) / quartiles[1],
        rounds=len(rounds),
        where=f"{device_name(setup.device)}, {config.train.dtype}{threads}",
    )


@dataclass(frozen=True)
class _Round:
    step: float
    """Seconds a step."""

    parts: dict[str, tuple[float, float]]
    """Seconds a step of each part, forward and backward."""

    @property
    def seconds(self) -> float:
        """A measure of how quiet the machine was; steps and parts weigh alike."""
        return self.step + sum(map(sum, self.parts.values()))


def _times_of(parts: Sequence[Part], *, backwards: bool) -> dict[str, tuple[float, float]]:
    """Mean seconds of each part over as many steps as a stretch of the training loop has."""
    order = parts[::-1] if backwards else parts
    cycles = [{part.name: part.forward_backward_seconds() for part in order} for _ in range(STEPS)]
    return {part.name: _means([cycle[part.name] for cycle in cycles]) for part in parts}


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    forward, backward = zip(*pairs, strict=True)
    return statistics.fmean(forward), statistics.fmean(backward)


def _line(part: Part, times: Sequence[tuple[float, float]]) -> Line:
    forward, backward = _means(times)
    return Line(
        part=part.name,
        forward_milliseconds=1000 * forward,
        backward_milliseconds=1000 * backward,
        within=part.within,
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
            val_part_bytes=None,
            estimate_batches=0,
        ),
    )
    config = settle_on(device, config, cache=default_cache())
    vocab_size = config.tokenizer.vocab_size or TINYSHAKESPEARE_CHARACTERS
    tokens = np.random.default_rng(0).integers(vocab_size, size=N_TOKENS, dtype=np.uint16)
    # training steps read nothing else of a text
    encoded = SimpleNamespace(train=tokens, bytes_per_token=1.0)
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
    caption = (
        f"means over the quieter half of {e.rounds} rounds; interquartile range of the step "
        f"{e.spread:.0%} of its median"
    )
    table = Table(
        title=f"A training step of {preset}\n{e.where}",
        caption=caption,
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
