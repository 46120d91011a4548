"""How long does a step of this shape take? A worker trains a few on random tokens, and times them.

The steps are those of a real run: its loop, its settled precision and kernel, in a worker, beside
as many other workers as the study will have. The text is random, because a step's time does not
depend on it.
"""

import dataclasses
import statistics
import time
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch

from bench.run.canary import check_canary
from bench.run.cost import MOST_FLOPS, Measured, TextSize, block_size, flops_per_step
from bench.run.messages import Measure
from gpt.acceleration.step import Step
from gpt.config import Budget, KernelName, RunConfig
from gpt.device import resolve_device
from gpt.generate import generate
from gpt.model.gpt import build_model
from gpt.training.evaluate import MAX_LOGITS, evaluate_split
from gpt.training.loop import train
from gpt.training.setup import Setup, Text, settle_on

EVALUATED_TOKENS = 4096
"""The least number: a whole batch takes longer per token, as it does not fit into the cache."""

SAMPLED_TOKENS = 8
FEWEST_TIMES = 4
MOST_TIMES = 200


def time_steps(task: Measure) -> Measured:
    """Time a few steps of a config's shape, and what comes before and after them.

    A large step is timed with two smaller numbers of sequences, and extrapolated linearly to the
    whole batch.

    Raises:
        GptBenchError: such a run can't be set up here.
    """
    n_sequences = task.config.train.batch_size
    flops = flops_per_step(task.config, task.size)
    few = max(1, int(n_sequences * MOST_FLOPS / flops)) if flops else n_sequences
    if 2 * few >= n_sequences:
        return _time_steps(task, n_sequences)
    less, more = _time_steps(task, few), _time_steps(task, 2 * few)

    def at_whole(name: str) -> float:
        rise = max(0.0, getattr(more, name) - getattr(less, name)) / few
        return float(getattr(more, name) + rise * (n_sequences - 2 * few))

    return dataclasses.replace(
        more,
        step_seconds=at_whole("step_seconds"),
        first_seconds=at_whole("first_seconds"),
        peak_memory_bytes=round(at_whole("peak_memory_bytes")),
    )


def _time_steps(task: Measure, n_sequences: int) -> Measured:
    """The same with this number of sequences in a batch."""
    device = resolve_device(task.config.train.device)
    config = _timed(task.config, task.size, n_sequences, on_cpu=device.type == "cpu")
    settled = settle_on(device, config, cache=task.folders.cache)
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        model = build_model(settled.model, task.size.vocab_size).to(device)
    setup = Setup(
        config=settled, text=_random_text(settled, task.size), model=model, device=device
    )
    check_canary(setup)
    fixed = time.perf_counter() - start

    Step(setup)  # the process's one-time imports
    points = train(setup)
    last = next(points)
    first = sum(last.seconds.values())
    times: list[float] = []
    end = time.perf_counter() + task.seconds
    while len(times) < FEWEST_TIMES or (time.perf_counter() < end and len(times) < MOST_TIMES):
        point = next(points)
        spent = sum(point.seconds.values()) - sum(last.seconds.values())
        times.append(spent / (point.step - last.step))
        last = point
    start = time.perf_counter()
    evaluate_split(setup, "val")
    evaluation = time.perf_counter() - start
    n_sampled = min(SAMPLED_TOKENS, config.train.sample_tokens)
    start = time.perf_counter()
    generate(setup.model, [0], n_sampled, seed=0, keep=max(1, settled.model.block_size // 2))
    fixed += (time.perf_counter() - start) * config.train.sample_tokens / max(1, n_sampled)
    lower, middle, upper = statistics.quantiles(times, n=4)
    return Measured(
        step_seconds=middle,
        spread=(upper - lower) / (2 * middle),
        first_seconds=first,
        fixed_seconds=fixed,
        eval_token_seconds=evaluation / len(setup.text.encoded.val),
        peak_memory_bytes=last.peak_memory_bytes,
        dtype=settled.train.dtype,
    )


def _timed(config: RunConfig, size: TextSize, n_sequences: int, *, on_cpu: bool) -> RunConfig:
    """The config that is timed, with an endless budget.

    On a CPU each step is timed; elsewhere a stretch of steps is, because a GPU runs them without
    waiting. `kernel="auto"` becomes `sdpa`, because choosing would take longer than all the rest.
    """
    kernel: KernelName = "sdpa" if config.model.kernel == "auto" else config.model.kernel
    return config.replace(
        model=dataclasses.replace(
            config.model,
            block_size=block_size(config, size),
            context_bytes=None,
            kernel=kernel,
        ),
        train=dataclasses.replace(
            config.train,
            batch_size=n_sequences,
            budget=Budget(steps=10**9),
            target_loss=None,
            log_interval=1 if on_cpu else config.train.log_interval,
            evaluations=1,
            val_part_bytes=None,
            estimate_batches=0,
            measure_test=False,
        ),
    )


def _random_text(config: RunConfig, size: TextSize) -> Text:
    """A stand-in for a text, with what training and evaluation read: tokens and byte counts."""
    T = config.model.block_size
    draw = np.random.default_rng(0).integers
    most = max(EVALUATED_TOKENS, MAX_LOGITS // size.vocab_size)
    n_val = max(T + 1, min(size.val_tokens, most))
    dtype = np.uint16 if size.vocab_size <= 1 << 16 else np.uint32
    encoded = SimpleNamespace(
        train=draw(size.vocab_size, size=100 * T, dtype=dtype),
        val=draw(size.vocab_size, size=n_val, dtype=dtype),
        test=None,
        val_bytes=round(n_val * size.bytes_per_token),
        test_bytes=0,
        bytes_per_token=size.bytes_per_token,
    )
    return cast(Text, SimpleNamespace(encoded=encoded))
