"""Training tokens per second: ours against nanoGPT's way, the real nanoGPT and the originals' way.

Also what share of the machine's best matrix product that is. Every way trains for real: batches
are drawn, gradients clipped, weights moved.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from bench.interleave import interleave
from bench.micro.ceilings import measure_matmul
from bench.speed.reference import Reference
from bench.speed.rows import Row, compared
from bench.speed.shapes import Shape, as_the_originals, fastest, nanogpt_at, write_text
from gpt.config import Device
from gpt.device import synchronize
from gpt.setup import Setup, set_up
from gpt.train import Point, train


def training_rows(
    shape: Shape, *, device: Device, against: Path | None, rounds: int, folder: Path
) -> Iterator[Row]:
    """The rows of one shape."""
    nanogpt = nanogpt_at(shape, write_text(shape, folder), device)
    configs = {
        "ours": fastest(nanogpt),
        "preset": nanogpt,
        "per_head": as_the_originals(nanogpt),
    }
    setups = {name: set_up(config, cache=folder) for name, config in configs.items()}
    ways: dict[str, Callable[[], object]] = {n: _stepper(setup) for n, setup in setups.items()}
    if against is not None:
        ways["nanoGPT"] = Reference(against, setups["preset"]).step
    where = setups["ours"].device
    ceiling = _ceiling(where)
    seconds = interleave(ways, rounds=rounds, warm_up=2, synchronize=lambda: synchronize(where))
    ceiling = max(ceiling, _ceiling(where))
    ours = setups["ours"].config
    how = f"{ours.train.dtype}, {ours.model.kernel}"
    name = f"training tokens/s, shape {shape}"
    yield Row(
        name=name,
        ours=how,
        baseline="nanogpt preset",
        **compared(seconds["preset"], seconds["ours"]),
        target=3.0,
    )
    yield Row(
        name=name,
        ours=how,
        baseline="a module a head",
        **compared(seconds["per_head"], seconds["ours"]),
        target=4.0,
    )
    if "nanoGPT" in seconds:
        yield Row(
            name=f"nanogpt preset, shape {shape}",
            ours="nanogpt preset",
            baseline="the real nanoGPT",
            **compared(seconds["nanoGPT"], seconds["preset"]),
            target=0.95,
        )
    else:
        yield Row(name=f"nanogpt preset, shape {shape}", target=0.95, note="give --against")
    n_tokens = 2 * shape.B * shape.T  # there and back
    flops = n_tokens * setups["ours"].model.flops_per_token(shape.T)
    yield Row(
        name=f"share of the matmul ceiling, shape {shape}",
        ours=how,
        baseline="best matrix product",
        ratios=[float(flops / s / ceiling) for s in seconds["ours"].sum(1)],
        target=0.5 if shape.name == "C" else None,
    )


def _stepper(setup: Setup) -> Callable[[], Point]:
    """Trains one step a call."""
    points = train(setup)
    return lambda: next(points)


def _ceiling(device: torch.device) -> float:
    """The best matrix product of any precision, in FLOP/s."""
    return max(measure_matmul(device, dtype) for dtype in (torch.float32, torch.bfloat16))
