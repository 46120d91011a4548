"""Training tokens per second: ours against nanoGPT's way, the real nanoGPT and the originals' way.

Also the share of the machine's best matrix product, which is measured in every round, because a
machine's speed drifts. Every way really trains: it draws batches, clips gradients and updates
weights, each in a process of its own, set up as a worker of a sweep, or for the real nanoGPT as a
plain Python process.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from bench.speed.isolated import IsolatedIterator, points
from bench.speed.real_nanogpt import real_nanogpt_losses
from bench.speed.rows import Row, TimingRace
from bench.speed.shapes import (
    Shape,
    as_the_originals,
    compiled,
    fastest,
    nanogpt_at,
    write_text,
)
from bench.timing.ceilings import measure_matmul
from bench.timing.interleave import interleave
from gpt.config import Device
from gpt.device import resolve_device
from gpt.errors import InfeasibleError
from gpt.training.flops import flops_per_step
from gpt.training.setup import Setup, set_up

BASELINES = (
    ("preset", "nanogpt preset", 3.0),
    ("per_head", "a module a head", 4.0),
    ("nanoGPT on a GPU", "the real nanoGPT in bfloat16, compiled", None),
)
"""What ours is compared with: the way, its name in the table, and the ratio to reach."""


def training_rows(
    shape: Shape, *, device: Device, against: Path | None, rounds: int, folder: Path
) -> Iterator[Row]:
    """The rows of one shape; ours is compiled where torch can compile."""
    where = resolve_device(device)
    shape, device = shape.on(where), cast(Device, where.type)
    nanogpt = nanogpt_at(shape, write_text(shape, folder), device)
    fast, per_head = fastest(nanogpt), as_the_originals(nanogpt)
    configs = {"uncompiled": fast, "preset": nanogpt, "per_head": per_head}
    ours = set_up(fast, cache=folder)
    best, how = "uncompiled", f"{ours.config.train.dtype}, {ours.config.model.kernel}"
    if ours.config.train.cuda_graph == "on":
        how = f"{how}, CUDA graph"
    with contextlib.ExitStack() as stack:
        ways: dict[str, Callable[[], object]] = {
            name: stack.enter_context(IsolatedIterator(partial(points, config, folder)))
            for name, config in configs.items()
        }
        with contextlib.suppress(InfeasibleError):
            faster = stack.enter_context(IsolatedIterator(partial(points, compiled(fast), folder)))
            compile_seconds = faster().seconds["compile"]
            ways["compiled"] = faster
            best, how = "compiled", f"{how}, compiled"
        if against is not None:
            real = partial(real_nanogpt_losses, against, nanogpt, folder)
            ways["nanoGPT"] = stack.enter_context(IsolatedIterator(real, as_worker=False))
            if device == "cuda":
                own = partial(real, gpu_defaults=True)
                ways["nanoGPT on a GPU"] = stack.enter_context(
                    IsolatedIterator(own, as_worker=False)
                )
        found: list[float] = []
        ways["ceiling"] = lambda: found.append(_ceiling(ours))
        seconds = interleave(ways, rounds=rounds, warm_up=2)
    del seconds["ceiling"]  # which does another thing
    turns = TimingRace(seconds)
    ceilings = np.reshape(found[-2 * rounds :], (rounds, 2)).max(1)  # the better one of a round
    n_steps = 2 * shape.steps  # there and back
    if best == "compiled":
        yield _compiling_row(shape, seconds, turns, compile_seconds)
    # A causal token sees half of the others on average: no code must multiply more.
    least_flops = flops_per_step(ours.model, ours.config, context=shape.T // 2)
    least_seconds = n_steps * least_flops / ceilings
    for baseline, words, target in BASELINES:
        if baseline not in seconds:
            continue
        yield Row(
            name=f"training tokens/s, shape {shape}",
            ours=how,
            baseline=words + (", AdamW fused" if device == "cuda" and baseline in configs else ""),
            **turns.compared(best, baseline),
            target=target,
            limit=float(np.median(seconds[baseline].sum(1) / least_seconds)),
        )
    yield _preset_row(shape, turns if "nanoGPT" in seconds else None)
    flops = n_steps * flops_per_step(ours.model, ours.config)
    yield Row(
        name=f"share of the matmul ceiling, shape {shape}",
        ours=how,
        baseline=f"best matrix product, {ours.config.train.dtype}",
        ratios=list(map(float, flops / seconds[best].sum(1) / ceilings)),
        target=0.5 if shape.name == "C" else None,
    )


def _compiling_row(
    shape: Shape,
    seconds: Mapping[str, NDArray[np.float64]],
    turns: TimingRace,
    compile_seconds: float,
) -> Row:
    """The gain by compiling, and after how many steps it has won back its time."""
    saved = float(np.median(seconds["uncompiled"] - seconds["compiled"])) / shape.steps
    repaid = f"repaid after {compile_seconds / saved:,.0f} steps" if saved > 0 else "never repaid"
    return Row(
        name=f"compiling, shape {shape}",
        ours=f"compiled in {compile_seconds:.0f} s, {repaid}",
        baseline="uncompiled",
        **turns.compared("compiled", "uncompiled"),
    )


def _preset_row(shape: Shape, turns: TimingRace | None) -> Row:
    """Whether our nanogpt preset is as fast as the real nanoGPT."""
    name = f"nanogpt preset, shape {shape}"
    if turns is None:
        return Row(name=name, target=0.95, note="give --against")
    return Row(
        name=name,
        ours="nanogpt preset",
        baseline="the real nanoGPT",
        **turns.compared("preset", "nanoGPT"),
        target=0.95,
    )


def _ceiling(setup: Setup) -> float:
    """The best matrix product for work in this run's precision, in operations a second."""
    return measure_matmul(setup.device, getattr(torch, setup.config.train.dtype))
