"""Is a measured speed possible? Nothing computes faster than the machine multiplies matrices.

A throughput above the measured ceiling means that the clock, the count of operations or the
synchronisation is wrong, and with it every conclusion from the timing.
"""

from functools import cache

import torch

from bench.timing.ceilings import MARGIN, measure_matmul
from gpt.errors import UnsoundError
from gpt.training.flops import flops_per_step
from gpt.training.setup import Setup


def refuse_impossible_speed(setup: Setup, tokens_per_second: float) -> None:
    """Raise `UnsoundError` if training at this speed would beat the machine's matrix product.

    The ceiling is measured once in a process, and again before a speed is refused, because one
    measurement on a busy machine may be low.
    """
    config = setup.config
    tokens_per_step = config.train.batch_size * config.model.block_size
    flops = tokens_per_second / tokens_per_step * flops_per_step(setup.model, config)
    dtype = getattr(torch, config.train.dtype)
    ceiling = _ceiling(setup.device, dtype)
    if flops > MARGIN * ceiling:
        ceiling = max(ceiling, measure_matmul(setup.device, dtype))
    if flops > MARGIN * ceiling:
        raise UnsoundError(
            f"training can't be faster than this machine's best matrix product, "
            f"{ceiling / 1e9:,.0f} GFLOP/s, but measured {flops / 1e9:,.0f}: the clock, the count "
            "or the synchronisation is wrong"
        )


@cache
def _ceiling(device: torch.device, dtype: torch.dtype) -> float:
    return measure_matmul(device, dtype)
